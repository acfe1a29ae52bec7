"""File systems: mounts and free space, writes that last, files of the host as they were, fstab, quotas by project.

Face: `filesystem`, `kinds`, `names` (of one place), `host_file`, `fstab`, `project_quota`, `obstacles`,
`reach` (a look with an end), `stored` (what is kept as JSON).
"""
