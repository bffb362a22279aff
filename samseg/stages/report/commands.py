"""The commands that the page shows: what can be done next with the tables."""

import shlex
from collections.abc import Sequence

from samseg.stages.class_table import ClassRows, name_of


def commands(
    uri: str,
    classes: ClassRows,
    ranked: Sequence[int],
    masks: int,
) -> list[tuple[str, str]]:
    """Return (description, command) of what can be done next.

    Args:
        uri: of the output folder.
        classes: of the newest codebook; none without one.
        ranked: class ids, the largest class first.
        masks: number of masks in the folder.
    """
    path = uri.removeprefix("file://")

    def query(sql: str) -> str:
        return f'samseg query -o {shlex.quote(path)} "{sql}"'

    commands = [
        ("Images per status", query("select status, count(*) from images group by all")),
        ("All photos", query("select key, status, masks, uri from images order by key")),
    ]
    if ranked:
        per_class = (
            "select class_id, name, count(*) as masks from labels group by all order by masks desc"
        )
        commands.insert(0, ("Masks per class", query(per_class)))
        medoid = classes.get(ranked[0], {}).get("medoid_mask_id")
        if medoid:
            like = f"select * from nearest('{medoid}', k := 10)"
            title = f"The ten masks most similar to the medoid of {name_of(classes, ranked[0])}"
            commands.insert(1, (title, query(like)))
        commands.append(("The same tables without samseg, in DuckDB", _duckdb(path, per_class)))
    if masks:
        commands.append(
            (
                "In Python, as an Arrow table",
                f"import samseg\ntable = samseg.open({path!r}).query('from labels')",
            )
        )
    return commands


def _duckdb(path: str, sql: str) -> str:
    """Return a shell command; DuckDB loads a script from a local file only."""
    if "://" not in path:
        return f'duckdb -init {shlex.quote(f"{path}/views.sql")} -c "{sql}"'
    copy = (
        f"aws s3 cp {path}/views.sql ." if path.startswith("s3://") else f"# copy {path}/views.sql"
    )
    return f'{copy}\nduckdb -init views.sql -c "{sql}"'
