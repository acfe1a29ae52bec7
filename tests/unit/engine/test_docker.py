"""What an engine cannot describe is told by its name."""

from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import APIError

from entrypoint.console.errors import EngineError
from entrypoint.engine.docker import Engine

ID = "0123456789abcdef" * 4


def engine(explanation: str) -> Engine:
    def inspect_container(_id: str) -> Any:
        raise APIError("500 Server Error", explanation=explanation)

    client: Any = SimpleNamespace(api=SimpleNamespace(inspect_container=inspect_container))
    return Engine(client)


def test_a_container_that_is_listed_and_has_no_layer_is_named() -> None:
    with pytest.raises(EngineError, match="The container 0123456789ab is listed, and its layer is gone") as raised:
        engine(f"RWLayer of container {ID} is unexpectedly nil").container(ID)
    assert raised.value.resolution.endswith("docker rm 0123456789ab")


def test_any_other_answer_is_the_engines_own() -> None:
    with pytest.raises(APIError):
        engine("no space left on device").container(ID)
