"""The containerd that an engine keeps its images in: which one it is, what its databases hold, who else uses it.

Face: `service` (`Containerd`), `holdings`, `store`, `tenants`.
"""
