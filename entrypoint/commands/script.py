"""The script that runs this image on a host, and waits until the worker is done."""

import os
from pathlib import Path

from entrypoint import __version__
from entrypoint.console.command import IMAGE

SOURCE = Path(__file__).with_name("script.sh")


def text() -> str:
    """The script, for this image's name and version."""
    image = os.environ.get(IMAGE, "relocator")
    return SOURCE.read_text().replace("@IMAGE@", image).replace("@VERSION@", __version__)
