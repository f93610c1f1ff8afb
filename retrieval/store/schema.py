"""The columns of the chunk table, and the one place where rows become LlamaIndex nodes and back."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...access import checked_groups

if TYPE_CHECKING:
    import pyarrow as pa
    from llama_index.core.schema import BaseNode, TextNode

__all__ = ("BUILT_IN", "COLUMNS", "EVERYONE", "NODE_COLUMNS", "node_to_row", "row_to_node", "schema", "stored_groups")

COLUMNS: dict[str, tuple[str, Any]] = {
    "id": ("string", ""),
    "doc_id": ("string", ""),
    "tenant": ("string", ""),
    "collection": ("string", ""),
    "source": ("string", ""),
    "title": ("string", ""),
    "format": ("string", ""),
    "page": ("int32", 1),
    "page_label": ("string", ""),
    "headings": ("string", ""),
    "start": ("int32", 0),
    "end": ("int32", 0),
    "body_at": ("int32", 0),
    "embed_key": ("string", ""),
    "content": ("string", ""),
}
"""Column name to (Arrow type, value where a node lacks it). `metadata` (JSON), `vector` and `groups` come on top.

`content` is what is embedded and indexed: a context line, then the passage's own text from `body_at` on.
"""

NODE_COLUMNS = (*COLUMNS, "metadata", "groups")
"""What `row_to_node` needs of a row."""

EVERYONE = ""
"""In the column `groups`: the document is for all of its tenant. A row without any group is for nobody."""

BUILT_IN = frozenset(COLUMNS) - {"id", "embed_key", "content", "body_at"}
"""Columns that a filter may name directly; every other key is looked up in the JSON `metadata`."""

_WHOSE = ("tenant", "groups")
_IN_NODE = ("collection", "source", "title", "format", "page", "page_label", "headings", "start", "end")


def schema(dimension: int) -> pa.Schema:
    """The Arrow schema of a chunk table for vectors of `dimension`."""
    import pyarrow as pa

    fields = [pa.field(name, getattr(pa, kind)(), nullable=False) for name, (kind, _) in COLUMNS.items()]
    fields.append(pa.field("metadata", pa.json_()))
    fields.append(pa.field("vector", pa.list_(pa.float32(), dimension)))
    fields.append(pa.field("groups", pa.list_(pa.string()), nullable=False))
    return pa.schema(fields)


def stored_groups(groups: Collection[str]) -> list[str]:
    """A document's groups as the column holds them."""
    return list(groups) or [EVERYONE]


def row_to_node(row: Mapping[str, Any]) -> TextNode:
    """A stored row as a LlamaIndex `TextNode`, its embedding included where the row has one.

    The node's text is the passage's own text; the context line is in its metadata (`title`, `headings`).
    """
    from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode

    metadata = {name: row[name] for name in _IN_NODE if row[name] not in ("", None)}
    metadata.update(json.loads(row["metadata"] or "{}"))
    # Whose a passage is says the store alone, never the file that it was read from.
    metadata.update(tenant=row["tenant"], groups=[group for group in row["groups"] if group != EVERYONE])
    metadata = {name: value for name, value in metadata.items() if name not in _WHOSE or value}
    node = TextNode(
        id_=row["id"],
        text=row["content"][row["body_at"] :],
        metadata=metadata,
        excluded_embed_metadata_keys=list(metadata),
        excluded_llm_metadata_keys=list(metadata),
    )
    if row["doc_id"]:
        node.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id=row["doc_id"])
    if row.get("vector") is not None:
        node.embedding = list(row["vector"])
    return node


def node_to_row(node: BaseNode, embedding: Sequence[float]) -> dict[str, Any]:
    """A LlamaIndex node as a row. Unknown metadata keys go to the JSON column."""
    from llama_index.core.schema import MetadataMode

    metadata = dict(node.metadata)
    row: dict[str, Any] = {name: default for name, (_, default) in COLUMNS.items()}
    row.update({name: metadata.pop(name) for name in (*_IN_NODE, "tenant") if name in metadata})
    row["groups"] = stored_groups(checked_groups(metadata.pop("groups", ())))
    row.update(
        id=node.node_id,
        doc_id=node.ref_doc_id or "",
        content=node.get_content(metadata_mode=MetadataMode.NONE),
        metadata=json.dumps(metadata, ensure_ascii=False, default=str),
        vector=list(embedding),
    )
    return row
