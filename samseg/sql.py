"""The views and macros of `samseg.query`, as SQL over the registered tables."""

from collections.abc import Mapping, Sequence

MACROS = """
create view classes as
select
    coalesce(c.class_id, e.class_id) as class_id, coalesce(e.name, c.name) as name,
    case when e.into <> e.class_id then 'merged' else coalesce(c.status, e.status) end as status,
    c.* exclude (class_id, name, status),
    coalesce(e.ignored, false) as ignored, nullif(e.into, e.class_id) as merged_into
from codebook_classes c full join edited_classes e on e.class_id = c.class_id;

create view edited as -- masks of classes by example, each in the nearest one
select m.mask_id, e.into as class_id, m.distance
from members m join edited_classes e on coalesce(e.members, e.class_id) = m.class_id
qualify row_number() over (partition by m.mask_id order by m.distance, m.class_id) = 1;

create view corrections as -- outlines that people drew and that hold
select c.*, o.edit
from kept_corrections c join edited_outlines o using (mask_id, correction);

create view labels as
with resolved as (
    select
        a.mask_id, coalesce(v.class_id, n.class_id, l.class_id, e.into, a.class_id) as class_id,
        case when v.mask_id is null then coalesce(n.distance, a.distance) end as distance,
        case when v.mask_id is null and n.mask_id is null then a.margin end as margin
    from assignments a
    left join edited_moves v on v.mask_id = a.mask_id
    left join edited n on n.mask_id = a.mask_id
    left join edited_cells l on l.cell = a.cell
    left join edited_classes e on e.class_id = a.class_id
)
select
    m.mask_id, m.image_id, i.key, a.class_id,
    case when a.class_id = -1 then 'noise' when a.class_id = -2 then 'ignored'
         else coalesce(nullif(c.name, ''), 'class ' || a.class_id) end as name,
    a.distance, a.margin, m.* exclude (mask_id, image_id),
    coalesce(c.ignored, a.class_id = -2, false) as ignored
from masks m
left join resolved a using (mask_id)
left join classes c using (class_id)
left join images i on i.image_id = m.image_id;

create view embeddings as select name, mask_id, status, vector as embedding from vectors;

create macro distance(mask_a, mask_b, embedding := $default) as list_cosine_distance(
    (select vector from vectors where name = known(embedding) and mask_id = mask_a),
    (select vector from vectors where name = known(embedding) and mask_id = mask_b)
);

create macro nearest(mask, k := 10, embedding := $default) as table
with among as (
    select mask_id, vector from vectors where name = known(embedding) and vector is not null
),
found as (
    select m.mask_id, list_cosine_distance(m.vector, q.vector) as distance
    from among m, (select mask_id, vector from among where mask_id = mask) q
    where m.mask_id <> q.mask_id
    order by distance, m.mask_id
    limit k
)
select f.mask_id, f.distance, l.class_id, l.name, l.key, l.image_uri
from found f join labels l using (mask_id)
order by f.distance, f.mask_id;

create macro class_at(cut) as table
with recursive upwards as (
    select distinct a.cell, t.node, t.parent from assignments a join tree t on t.node = a.cell
    union all
    select u.cell, t.node, t.parent from upwards u join tree t on t.node = u.parent
    where t.height <= cut
), branches as (select cell, max(node) as node from upwards group by cell)
select a.mask_id, b.node, t.height
from assignments a join branches b using (cell) join tree t on t.node = b.node;
"""
"""Views and macros over the tables and `vectors`; `$default` is an embedding's name."""

_KNOWN = """
create macro known(asked) as
    case when asked in ({names}) then asked
         else error('there is no embedding ' || asked || '; this folder has: {listed}') end;
"""


def statements(tables: Mapping[str, str], names: Sequence[str], default: str) -> str:
    """Return the statements that create all views and macros.

    Args:
        tables: the table of each embedding that has rows, by its name.
        names: names of all embeddings.
        default: name of the embedding that macros compare unless told otherwise.
    """
    vectors = " union all ".join(_select(name, table) for name, table in tables.items())
    known = _KNOWN.format(
        names=", ".join(map(quoted, names)), listed=quoted(", ".join(names))[1:-1]
    )
    return f"create view vectors as {vectors};{known}{MACROS.replace('$default', quoted(default))}"


def _select(name: str, table: str) -> str:
    """Return the rows of one embedding; vectors of all lengths have the type FLOAT[].

    A bare `embedding` would be taken for the macros' parameter of this name.
    """
    return (
        f"select {quoted(name)} as name, t.mask_id, t.status, t.embedding::float[] as vector "
        f"from {_identifier(table)} t"
    )


def _identifier(name: str) -> str:
    """Return an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def quoted(value: str) -> str:
    """Return an SQL string literal."""
    return "'" + value.replace("'", "''") + "'"
