"""Check samseg on a GPU within minutes: the same masks as on the CPU, and how fast.

    python jobs/gpu_check.py --out gpu_check/
    python jobs/gpu_check.py --minutes 2 --section masks --section tensors

Masks and tensors against the CPU's in float32 and bfloat16, out-of-memory recovery,
`torch.compile`, milliseconds per stage and peak memory next to `segment_anything`, and the most
expensive kernels. Without a GPU it runs itself at tiny shapes. What is found is printed and
written at once; exit code 1 when something differs or fails. Needs neither Ray nor an object store.
"""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

_BEGAN = time.monotonic()

app = typer.Typer(
    add_completion=False, help=__doc__, pretty_exceptions_enable=False, rich_markup_mode=None
)


@app.command()
def main(
    minutes: Annotated[float, typer.Option(help="What would take longer is skipped.")] = 5.0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for gpu_check.json and gpu_check.md.")
    ] = None,
    section: Annotated[list[str] | None, typer.Option(help="Only these, by name.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Run the sections in order; see the module's text."""
    from samseg.lab.benchmark.gpu.check import run_check, sections
    from samseg.lab.benchmark.gpu.findings import GpuCheck
    from samseg.lab.benchmark.gpu.subject import CheckSubject
    from samseg.lab.benchmark.gpu.table import line, markdown
    from samseg.sam.weights.load import resolve_device

    subject = CheckSubject.of(resolve_device(device))
    if subject.device.type == "cpu":
        typer.echo("no GPU: the check runs itself at tiny shapes on the CPU", err=True)
    every = sections(subject)
    names = [s.name for s in every]
    unknown = sorted(set(section or []) - set(names))
    if unknown:
        raise typer.BadParameter(f"no section {', '.join(unknown)}; known: {', '.join(names)}")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    said = 0

    def keep(check: GpuCheck) -> None:
        nonlocal said
        found = [f"{s.name}: {line(f)}" for s in check.sections for f in s.findings]
        for text in found[said:]:
            typer.echo(text)
        said = len(found)
        latest = check.sections[-1]
        if latest.reason not in ("", "under way"):
            typer.echo(f"{latest.name}: {latest.status}: {latest.reason}")
        sys.stdout.flush()
        if out is not None:
            (out / "gpu_check.json").write_text(check.model_dump_json(indent=1))
            (out / "gpu_check.md").write_text(markdown(check) + "\n")

    check = run_check(
        subject,
        [s for s in every if not section or s.name in section],
        seconds=60 * minutes,
        command=" ".join(sys.argv[1:]),
        keep=keep,
        began=_BEGAN,
    )
    typer.echo(f"\n{markdown(check)}")
    raise typer.Exit(0 if check.passed else 1)


if __name__ == "__main__":
    app()
