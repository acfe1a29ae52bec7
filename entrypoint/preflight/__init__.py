"""Facts, gathered once; checks, pure functions from facts to findings; the edits that the facts call for.

Face: `request` (`Request`), `facts` (`gather`, `HostFacts`), `preflight` (`check`, `require`), `asked` (which check is
asked when), `adoption`, `edits`, `probe`, `validation` (the engine's own opinion).
"""
