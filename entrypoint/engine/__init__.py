"""Docker and containerd: what they hold, how they keep it, who works with them, and which product answers.

Face: `docker` (`Engine`, the one door to the SDK), `info`, `versions`, `inventory`, `swarm`, `products`,
`drivers`, and what the folders name.
"""
