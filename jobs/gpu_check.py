"""Check correctness and speed on a GPU within minutes.

    python jobs/gpu_check.py --out gpu_check/
    python jobs/gpu_check.py --minutes 2 --section masks --section tensors

Compares masks and tensors with the CPU's in float32 and bfloat16; checks out-of-memory recovery and
`torch.compile`; measures milliseconds per stage and peak memory, compared with `segment_anything`,
and the most expensive kernels. Without a GPU the check tests itself on the CPU with tiny shapes.
Findings are printed and written at once. Exit code 1 when a comparison or a section fails. Needs
neither Ray nor an object store.
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
    minutes: Annotated[
        float, typer.Option(help="Time limit; sections that would exceed it are skipped.")
    ] = 5.0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for gpu_check.json and gpu_check.md.")
    ] = None,
    section: Annotated[
        list[str] | None, typer.Option(help="Run only this section; may be repeated.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Run the sections in order; see the module docstring."""
    from samseg.lab.benchmark.gpu.check import run_check, sections
    from samseg.lab.benchmark.gpu.findings import GpuCheck
    from samseg.lab.benchmark.gpu.subject import CheckSubject
    from samseg.lab.benchmark.gpu.table import line, markdown
    from samseg.sam.weights.load import resolve_device

    subject = CheckSubject.of(resolve_device(device))
    if subject.device.type == "cpu":
        typer.echo("no GPU: the check tests itself on the CPU with tiny shapes", err=True)
    every = sections(subject)
    names = [s.name for s in every]
    unknown = sorted(set(section or []) - set(names))
    if unknown:
        raise typer.BadParameter(f"no section {', '.join(unknown)}; known: {', '.join(names)}")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    printed = 0

    def keep(check: GpuCheck) -> None:
        nonlocal printed
        found = [f"{s.name}: {line(f)}" for s in check.sections for f in s.findings]
        for text in found[printed:]:
            typer.echo(text)
        printed = len(found)
        latest = check.sections[-1]
        if latest.reason not in ("", "not finished"):
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
