"""Whole machines in QEMU, for what hosts that share this machine's kernel cannot show. Their packages.txt is here."""
