"""The schemas of KubeRay's RayCluster and RayJob, and the kept copy of them without descriptions.

``python -m tests.deploy.kuberay_schema FOLDER VERSION`` writes the kept copy, `kuberay_schema.json`, from the folder
ray-operator/config/crd/bases of a copy of github.com/ray-project/kuberay (Apache License 2.0) at that version.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

KEPT = Path(__file__).with_suffix(".json")
PLURALS = {"RayCluster": "rayclusters", "RayJob": "rayjobs"}
_UNUSED = {"description", "x-kubernetes-list-type", "x-kubernetes-map-type", "x-kubernetes-list-map-keys"}
_SHARED = 200
"""Number of characters from which a part that occurs repeatedly is kept once."""
Schema = dict[str, Any]


def of_definitions(folder: Path) -> dict[str, Schema]:
    """Return the schema of each kind in version v1, from the custom resource definitions in a folder."""
    found = {}
    for kind, plural in PLURALS.items():
        definition = yaml.load((folder / f"ray.io_{plural}.yaml").read_text(), Loader=yaml.CSafeLoader)
        [version] = [each for each in definition["spec"]["versions"] if each["name"] == "v1"]
        found[kind] = version["schema"]["openAPIV3Schema"]
    return found


def kept() -> dict[str, Schema]:
    """Return the schema of each kind from the kept copy."""
    read = json.loads(KEPT.read_text())
    return {kind: {**read["kinds"][kind], "$defs": read["$defs"]} for kind in PLURALS}


def _plain(part: Any) -> Any:
    """Return a part of a schema without what checks nothing."""
    if isinstance(part, list):
        return [_plain(inner) for inner in part]
    if not isinstance(part, dict):
        return part
    return {
        key: {name: _plain(inner) for name, inner in value.items()} if key == "properties" else _plain(value)
        for key, value in part.items()
        if key not in _UNUSED
    }


class _Sharing:
    """Replaces parts that occur repeatedly by references."""

    def __init__(self, schemas: dict[str, Schema]) -> None:
        self._count: Counter[str] = Counter()
        self._names: dict[str, str] = {}
        self.shared: dict[str, Any] = {}
        self._look(schemas)
        self.kinds = {kind: self._within(schema) for kind, schema in schemas.items()}

    def _look(self, part: Any) -> None:
        if isinstance(part, list):
            for inner in part:
                self._look(inner)
        if isinstance(part, dict):
            self._count[json.dumps(part, sort_keys=True)] += 1
            for key, inner in part.items():
                self._look(list(inner.values()) if key == "properties" else inner)

    def _replaced(self, part: Any) -> Any:
        if isinstance(part, list):
            return [self._replaced(inner) for inner in part]
        if not isinstance(part, dict):
            return part
        text = json.dumps(part, sort_keys=True)
        if self._count[text] < 2 or len(text) < _SHARED:
            return self._within(part)
        if text not in self._names:
            self._names[text] = f"part{len(self._names) + 1}"
            self.shared[self._names[text]] = self._within(part)
        return {"$ref": f"#/$defs/{self._names[text]}"}

    def _within(self, schema: Schema) -> Schema:
        """Return a schema whose inner schemas are replaced; the names of properties are no schema."""
        return {
            key: {name: self._replaced(inner) for name, inner in part.items()}
            if key == "properties"
            else self._replaced(part)
            for key, part in schema.items()
        }


def keep(folder: Path, version: str) -> None:
    """Write the kept copy from the custom resource definitions in a folder."""
    schemas = {kind: _plain(schema) for kind, schema in of_definitions(folder).items()}
    for schema in schemas.values():
        schema["properties"].pop("status", None)
    sharing = _Sharing(schemas)
    parts = ",\n".join(f'"{name}": {json.dumps(part, sort_keys=True)}' for name, part in sharing.shared.items())
    kinds = ",\n".join(f'"{kind}": {json.dumps(part, sort_keys=True)}' for kind, part in sharing.kinds.items())
    KEPT.write_text(f'{{"kuberay": "{version}",\n"kinds": {{\n{kinds}\n}},\n"$defs": {{\n{parts}\n}}}}\n')


if __name__ == "__main__":
    keep(Path(sys.argv[1]), sys.argv[2])
