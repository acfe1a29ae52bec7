"""`make sbom`: what the image consists of, as one CycloneDX document (https://cyclonedx.org/docs/1.6/json/).

Taken from the image itself: Debian's packages from dpkg's list, Python's from what pip has written about each. The
licence of a Debian package is in a file of free words, so it is left out.
"""

import json
import re
import sys
from collections.abc import Iterator
from email.parser import BytesParser
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import NAMESPACE_URL, uuid5

from entrypoint import __version__
from tests.hosts import saved
from tests.hosts.builder import built
from tests.hosts.saved import Saved

DPKG = "var/lib/dpkg/status"
LIBRARIES = "opt/relocator/lib"
FIELD = re.compile(r"^([A-Za-z-]+): (.*)$", re.MULTILINE)
Component = dict[str, Any]


def document(image: Saved) -> dict[str, Any]:
    """The same image gives the same document."""
    components = sorted([*debian(image), *python(image)], key=lambda one: str(one["bom-ref"]))
    own = {"type": "container", "bom-ref": "relocator", "name": "relocator", "version": __version__}
    layers = "\n".join(image.config["rootfs"]["diff_ids"])
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, layers)}",
        "version": 1,
        "metadata": {"component": own | {"licenses": [{"license": {"id": "MIT"}}]}},
        "components": components,
        "dependencies": [{"ref": "relocator", "dependsOn": [one["bom-ref"] for one in components]}],
    }


def debian(image: Saved) -> Iterator[Component]:
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)', image.files["usr/lib/os-release"].content.decode(), re.MULTILINE))
    for stanza in image.files[DPKG].content.decode().strip().split("\n\n"):
        fields = dict(FIELD.findall(stanza))
        if fields["Status"] != "install ok installed":
            continue
        name, version, architecture = fields["Package"], fields["Version"], fields["Architecture"]
        distribution = f"debian-{release['VERSION_ID']}"
        purl = f"pkg:deb/debian/{name}@{quote(version)}?arch={architecture}&distro={distribution}"
        yield component(name, version, purl) | {"supplier": {"name": fields["Maintainer"]}}


def python(image: Saved) -> Iterator[Component]:
    for name, entry in image.files.items():
        if Path(name).name == "METADATA" and Path(name).is_relative_to(LIBRARIES):
            told = BytesParser().parsebytes(entry.content, headersonly=True)
            known = str(told["Name"]).lower().replace("_", "-")
            made = component(known, told["Version"], f"pkg:pypi/{known}@{quote(told['Version'])}")
            licence = told["License-Expression"]
            yield made | ({"licenses": [{"expression": licence}]} if licence else {})


def component(name: str, version: str, purl: str) -> Component:
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def fault(text: str) -> str:
    """What is wrong with a document by its schema; the library is only in the environment of `make sbom`."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    return str(JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) or "")


def main() -> int:
    """Exit code 0 for a document that is one."""
    with built() as image:
        text = json.dumps(document(saved.read(image.archive)), indent=1)
    print(text)
    if said := fault(text):
        print(said, file=sys.stderr)
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
