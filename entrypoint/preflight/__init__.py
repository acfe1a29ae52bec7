"""Facts, gathered once; checks, pure functions from facts to findings; the edits that the facts call for.

Face: `request` (`Request`), `facts` (`HostFacts`), `gathering` (`gather`), `roots` (`RootFacts`), `preflight` (`check`,
`require`), `adoption`, `edits`, `probe`, `validation` (the engine's own opinion). Which check is asked when stands in
asked.py.
"""
