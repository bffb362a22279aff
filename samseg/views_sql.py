"""The object `views.sql` of an output folder: its views for DuckDB alone, without samseg.

    duckdb -init samseg-demo/labels/views.sql

The script lists the folder when it is loaded, and its views are a snapshot of what is committed at
that moment: rows of committed shards only, the newest complete codebook and edit, and of an image
that was labelled again the rows of its newest plan. It is written once and needs no change as the
folder grows. Where the script of an earlier version of samseg is there, which knows no edits, it
stays, and this one is `views.2.sql`. Views and macros are those of `samseg.query`.
"""

import pyarrow as pa

from samseg import schema
from samseg.edits.tables import (
    CORRECTIONS,
    MEMBERS,
    RESOLVED_CELLS,
    RESOLVED_CLASSES,
    RESOLVED_MOVES,
    RESOLVED_OUTLINES,
)
from samseg.errors import redact
from samseg.output import Output
from samseg.sql import MACROS, quoted

_HEAD = """\
-- Views over this output folder for DuckDB 1.1 or later:
--
--   duckdb -init views.sql          or, in a session:  .read views.sql
--   select name, count(*) as masks from labels group by all order by masks desc;
--   from nearest('MASK_ID', k := 10);
--
-- Views: images masks embeddings assignments classes plans tree labels corrections.
-- Macros: nearest(mask_id, k), distance(mask_a, mask_b), class_at(height).
-- Classes and labels are those after all edits of `samseg classes`; `assignments` is without them.
-- Load the file again to see what was committed since.
--
-- Before loading it, if the folder is elsewhere now:  set variable samseg_at = 's3://bucket/labels';
-- and for object stores, for example:  create secret (type s3, provider credential_chain);

set variable samseg_dir = regexp_replace( -- the folder as a pattern: its name is no glob
    coalesce(getvariable('samseg_at'), $root), '([[*?])', '[\\1]', 'g'
);

-- What is committed: a shard's part in images/ is its commit.
set variable samseg_images = (
    select list(file order by file) from glob(getvariable('samseg_dir') || '/images/part-*.parquet')
    where regexp_full_match(parse_filename(file), 'part-[0-9a-f]+[.]parquet')
);
set variable samseg_plans = (
    select list(file order by file) from glob(getvariable('samseg_dir') || '/plan/*.parquet')
    where regexp_full_match(parse_filename(file), '[0-9]{6,}[.]parquet')
);
set variable samseg_codebook = (
    select max(file) from (
        select parse_path(file)[-2] as file
        from glob(getvariable('samseg_dir') || '/classes/v*/codebook.json')
    ) where regexp_full_match(file, 'v[0-9]{6,}')
);
create or replace temp macro samseg_committed(pattern) as table
select file from glob(getvariable('samseg_dir') || pattern)
semi join (select unnest(getvariable('samseg_images')) as image) i
on parse_filename(file) = parse_filename(i.image);
set variable samseg_masks = (
    select list(file order by file) from samseg_committed('/masks/part-*.parquet')
);
set variable samseg_vectors = (
    select list(file order by file) from samseg_committed('/embeddings/*/part-*.parquet')
);
set variable samseg_assignments = (
    select list(file order by file)
    from samseg_committed('/classes/v*/assignments/part-*.parquet')
    where parse_path(file)[-3] = getvariable('samseg_codebook')
);
set variable samseg_classes = (
    select list(file) from glob(getvariable('samseg_dir') || '/classes/v*/classes.parquet')
    where parse_path(file)[-2] = getvariable('samseg_codebook')
);
set variable samseg_edit = (
    select max(file) from (
        select parse_path(file)[-2] as file
        from glob(getvariable('samseg_dir') || '/classes/v*/resolved/e*/classes.parquet')
        where parse_path(file)[-4] = getvariable('samseg_codebook')
    ) where regexp_full_match(file, 'e[0-9]{6,}')
);
create or replace temp macro samseg_edited(name) as (
    select list(file) from glob(getvariable('samseg_dir') || '/classes/v*/resolved/e*/' || name)
    where parse_path(file)[-4] = getvariable('samseg_codebook')
        and parse_path(file)[-2] = getvariable('samseg_edit')
);
set variable samseg_edited_classes = samseg_edited('classes.parquet');
set variable samseg_edited_cells = samseg_edited('cells.parquet');
set variable samseg_edited_moves = samseg_edited('moves.parquet');
set variable samseg_edited_outlines = samseg_edited('outlines.parquet');
set variable samseg_corrections = (
    select list(file) from glob(getvariable('samseg_dir') || '/corrections/*.parquet')
    where regexp_full_match(parse_filename(file), '[0-9]{6,}[.]parquet')
);
set variable samseg_members = (
    select list(file order by file)
    from samseg_committed('/classes/v*/edits/*/part-*.parquet')
    where parse_path(file)[-4] = getvariable('samseg_codebook')
);
set variable samseg_tree = (
    select list(file) from glob(getvariable('samseg_dir') || '/classes/v*/tree.parquet')
    where parse_path(file)[-2] = getvariable('samseg_codebook')
);
set variable samseg_names = (
    select ['sam'] || coalesce(list(parse_path(file)[-2] order by file), [])
    from glob(getvariable('samseg_dir') || '/embeddings/*/recipe.json')
);
set variable samseg_embedding = coalesce((
    select nullif(regexp_extract(content, '"embedding": *"([^"]*)"', 1), '')
    from read_text(getvariable('samseg_dir') || '/classes/v*/codebook.json')
    where parse_path(filename)[-2] = getvariable('samseg_codebook')
), 'sam');
"""

_KNOWS_EDITS = b"e.members"

_SUPERSEDED = """
-- Images that were labelled again: rows of any plan but the newest do not count.
create or replace temp table samseg_superseded as
with verdicts as (select image_id, shard_id from images_of_all_plans),
again as (select image_id from verdicts group by all having count(*) > 1),
planned as (select shard_id, max(filename) as plan from plans_by_file group by all)
select image_id, shard_id
from verdicts semi join again using (image_id) left join planned using (shard_id)
qualify row_number() over (partition by image_id order by plan desc, shard_id) > 1
union
select i.image_id, i.shard_id -- a row that stands for a whole tar, which was read again since
from images_of_all_plans i join plans_by_file old on old.shard_id = i.shard_id
join plans_by_file p on p.key = old.key and p.retry_of is not null and p.images is null
    and p.start is not distinct from old.start
join verdicts done on done.shard_id = p.shard_id
where i.key in (old.key, old.key || '#truncated', old.key || '#' || old.start)
    and p.filename > old.filename;

create or replace temp macro shard_of(file) as regexp_extract(file, 'part-([^/]*)[.]parquet$', 1);
create or replace view images as
select * exclude (filename) from images_of_all_plans
anti join samseg_superseded using (image_id, shard_id);
create or replace view masks as
select m.* exclude (filename) from masks_of_all_plans m
anti join samseg_superseded s on s.image_id = m.image_id and s.shard_id = shard_of(m.filename);
create or replace view assignments as
select a.* exclude (filename) from assignments_of_all_plans a
anti join samseg_superseded s
on s.image_id = a.mask_id[:20] and s.shard_id = shard_of(a.filename);
create or replace view members as
select m.* exclude (filename) from members_of_all_plans m
anti join samseg_superseded s
on s.image_id = m.mask_id[:20] and s.shard_id = shard_of(m.filename);
create or replace view plans as select * exclude (filename) from plans_by_file;
create or replace view vectors as
select 'sam' as name, m.mask_id, m.status, m.embedding::float[] as vector from masks m
union all
select parse_path(v.filename)[-2], v.mask_id, v.status, v.embedding::float[]
from vectors_of_all_plans v
anti join samseg_superseded s
on s.image_id = v.mask_id[:20] and s.shard_id = shard_of(v.filename);
create or replace macro known(asked) as
    case when asked is null then getvariable('samseg_embedding')
         when list_contains(getvariable('samseg_names'), asked) then asked
         else error('there is no embedding ' || asked || '; this folder has: '
                    || array_to_string(getvariable('samseg_names'), ', ')) end;
"""

_PARTS = {
    "images_of_all_plans": ("samseg_images", schema.IMAGES),
    "masks_of_all_plans": ("samseg_masks", schema.MASKS),
    "vectors_of_all_plans": ("samseg_vectors", schema.EMBEDDINGS),
    "assignments_of_all_plans": ("samseg_assignments", schema.ASSIGNMENTS),
    "members_of_all_plans": ("samseg_members", MEMBERS),
    "plans_by_file": ("samseg_plans", schema.PLAN),
}
_TABLES = {
    "codebook_classes": ("samseg_classes", schema.CLASSES),
    "edited_classes": ("samseg_edited_classes", RESOLVED_CLASSES),
    "edited_cells": ("samseg_edited_cells", RESOLVED_CELLS),
    "edited_moves": ("samseg_edited_moves", RESOLVED_MOVES),
    "edited_outlines": ("samseg_edited_outlines", RESOLVED_OUTLINES),
    "kept_corrections": ("samseg_corrections", CORRECTIONS),
    "tree": ("samseg_tree", schema.TREE),
}


def keep_views(output: Output) -> str:
    """Write the script, unless it is there already; returns its key.

    Raises:
        StorageError: the store failed.
    """
    payload = views_sql(redact(output.uri)).encode()
    key = output.views_key
    if not output.storage.exists(key) and output.storage.put_new(key, payload):
        return key
    if _KNOWS_EDITS not in output.storage.get(key):
        key = output.newer_views_key
        output.storage.put_new(key, payload)
    return key


def views_sql(root: str) -> str:
    """Return the script for the folder at `root`, a URI; local folders by their path."""
    place = root.removeprefix("file://")
    head = _HEAD.replace("$root", quoted(place))
    parts = "".join(_view(name, *of, filename=True) for name, of in _PARTS.items())
    tables = "".join(_view(name, *of, filename=False) for name, of in _TABLES.items())
    macros = MACROS.replace("$default", "null")  # see `known`; a default has to be a literal
    replacing = macros.replace("create view", "create or replace view").replace(
        "create macro", "create or replace macro"
    )
    return f"{head}{parts}{tables}{_SUPERSEDED}{replacing}"


def _view(name: str, files: str, columns: pa.Schema, *, filename: bool) -> str:
    """Return a view of listed Parquet files that has its columns even if no file has them."""
    named = ", filename = true" if filename else ""
    if columns is schema.PLAN:  # those of earlier versions have fewer columns
        named += ", union_by_name = true"
    null = [f"null::{_sql_type(field.type)} as {field.name}" for field in columns]
    if filename:
        null.append("null::varchar as filename")
    none = f"select {', '.join(null)} where false"
    read = f"select * from read_parquet(getvariable(''{files}''){named})"
    return (
        f"\ncreate or replace view {name} as\nselect * from query(\n"
        f"    '{none}'\n"
        f"    || case when getvariable('{files}') is null then ''\n"
        f"       else ' union all by name {read}' end\n);\n"
    )


def _sql_type(of: pa.DataType) -> str:
    """Return DuckDB's type of a column."""
    if pa.types.is_struct(of):
        fields = (of.field(i) for i in range(of.num_fields))
        return f"struct({', '.join(f'{f.name} {_sql_type(f.type)}' for f in fields)})"
    if pa.types.is_list(of) or pa.types.is_fixed_size_list(of):
        return f"{_sql_type(of.value_type)}[]"
    return _SQL_TYPES[of]


_SQL_TYPES = {
    pa.string(): "varchar",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.float32(): "float",
    pa.bool_(): "boolean",
}
