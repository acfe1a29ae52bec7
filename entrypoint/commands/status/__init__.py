"""How the last run stands: its state and exit code, in sentences, as a page, and where the engine is at present; and a
report for one who helps.

Face: `status`, `state`, `text`, `page`, `report`, `present`.
"""
