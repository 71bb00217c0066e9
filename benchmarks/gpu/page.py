"""A result as a page to read, from the result alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Figures = Mapping[str, Any]

NOTHING = "-"

WORKS = """It runs all nets, and on the pictures below it answers what ONNX Runtime answers on the CPU in fp32."""

TRIED = """In the order of preference. Engines that an earlier run had built were not built again: the time is that of
their building. Why something did not open is at the end of the page."""

HELD = """Each net got what the CPU's got, and the whole pipeline the picture. Below are the largest difference to ONNX
Runtime in fp32 (in brackets what is allowed), and how many verdicts differ: on faces, on their liveness, on pairs."""

NETS = """From host memory to host memory: copies to the GPU and back are included. All took turns of some hundredths of
a second, many times, on crops of the sample pictures. Milliseconds are medians of the runs (5th to 95th percentile);
"6x" is six times as quick as the CPU beside it. The CPU takes a large batch in parts. How many runs there were is
in the result."""

PIPELINE = """From an encoded picture to the answer, with liveness and embeddings: decoding, detection, crops, all nets.
So many calls are under way at any time; all took turns. Milliseconds are a call's, median (5th to 95th percentile);
"6x" is six times the CPU's throughput."""

SERVED = """Each net was asked as a model of this server, by itself, over plain gRPC: different inputs one after
another, then batches of {batches} from {callers} callers at a time. Every row of every answer was held against what the
CPU answers in fp32 to exactly that input (in brackets what is allowed). Answers are counted in rows; what was not
answered, in requests."""

SERVER = "The same two requests over gRPC. The callers run on the same machine and take their part of its cores."


def page(result: Figures, file: str) -> str:
    """The page of a result in Markdown; `file` is the result's name. A run that was cut short has a shorter one."""
    runners = {"onnxruntime-cpu-fp32": "ONNX Runtime, CPU, fp32"}
    runners |= {name: record["title"] for name, record in result.get("runners", {}).items()}
    parts = [
        _head(result, runners, file),
        _machine(result.get("machine", {})),
        _tried(result.get("runners", {})),
        _parity(result.get("parity", {}), runners),
        _nets(result.get("nets", {}), runners),
        _pipeline(result.get("pipeline", {}), runners),
        _server(result.get("server", {})),
        _troubles(result["steps"]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(result: Figures, runners: Mapping[str, str], file: str) -> str:
    gpus = result.get("machine", {}).get("gpus") or [{"name": "an unnamed GPU"}]
    chosen = result.get("first_choice")
    verdict = (
        f"**First choice that works here: {runners[chosen]}.** {WORKS}"
        if chosen
        else "**Nothing was proven to run all nets right on this GPU.** The reasons are below."
    )
    if result.get("server", {}).get("served", {}).get("right") is False:
        verdict += "\n\n**The server's nets gave wrong answers: do not serve with it.** They are named below."
    return (
        f"# FaceGate on {gpus[0]['name']}\n\n"
        f"Written by `make gpu-proof` from [benchmarks/results/{file}](../benchmarks/results/{file}): begun "
        f"{result['began']}, ended after {result['seconds']:.0f} s of the "
        f"{result['minutes_allowed']:g} minutes that it might have taken. Every figure is of this one run.\n\n{verdict}"
    )


def _machine(machine: Figures) -> str:
    if not machine:
        return ""
    gpus = "; ".join(f"{gpu['name']}, compute capability {gpu['compute_capability']}" for gpu in machine["gpus"])
    memory = f", {machine['memory_gb']} GB" if machine["memory_gb"] else ""
    rows = [
        ("GPU", ", ".join(filter(None, [gpus, machine["gpu_memory"]]))),
        ("driver", machine["driver"] or NOTHING),
        ("CPU", f"{machine['cpu']} ({machine['architecture']}), {machine['cores']} cores{memory}"),
        ("system", f"{machine['system']}, Python {machine['python']}"),
        *((module, version or "not installed") for module, version in machine["packages"].items()),
        ("commit", machine["commit"] or NOTHING),
    ]
    return "## The machine\n\n" + _table(("", ""), rows)


def _tried(runners: Mapping[str, Figures]) -> str:
    if not runners:
        return ""
    rows = []
    for record in runners.values():
        nets = record["nets"].values()
        built = f"{sum(net['build_seconds'] for net in nets):.0f} s" if nets else NOTHING
        size = f"{sum(net['bytes'] for net in nets) / 1e6:.1f} MB" if nets else NOTHING
        version = ", ".join(sorted({net["version"] for net in nets})) or NOTHING
        rows.append((record["title"], "yes" if record["opened"] else "**no**", version, built, size))
    return f"## What was tried\n\n{TRIED}\n\n" + _table(
        ("what runs the nets", "opened", "engines of version", "four engines built in", "their size"), rows
    )


def _parity(parity: Figures, runners: Mapping[str, str]) -> str:
    found: Mapping[str, Figures] = parity.get("by_runner", {})
    if not found:
        return ""
    nets = list(next(iter(found.values()))["nets"])
    rows, flips = [], []
    for name, each in found.items():
        verdicts = str(each["verdicts_that_differ"])
        figures = (_difference(each["nets"][net]) for net in nets)
        rows.append((runners[name], "yes" if each["within_limits"] else "**no**", verdicts, *figures))
        flips += [f"- {runners[name]}: {flip}" for flip in each["flips"]]
    some = next(iter(found.values()))
    told = f"\n\n**Not judged**, since no picture has it: {', '.join(some['unjudged'])}." if some["unjudged"] else ""
    told += "\n\nVerdicts that differ:\n\n" + "\n".join(flips) if flips else ""
    return (
        "## Held against the CPU\n\n"
        f"{some['pictures']} pictures, {some['faces']} faces, {some['pairs']} pairs of pictures. {HELD}\n\n"
        + _table(("what runs the nets", "within limits", "verdicts that differ", *nets), rows)
        + told
    )


def _difference(figure: Figures) -> str:
    worst = "NaN" if figure["largest_difference"] is None else f"{figure['largest_difference']:.2g}"
    marked = worst if figure["within_limit"] else f"**{worst}**"
    return f"{marked} {figure['unit']} ({figure['limit']:g})"


def _nets(nets: Figures, runners: Mapping[str, str]) -> str:
    figures: Mapping[str, Mapping[str, Figures]] = nets.get("figures", {})
    if not figures:
        return ""
    parts = [f"## The nets, one at a time\n\n{NETS}"]
    for net, by_batch in figures.items():
        head = ("what runs it", *(f"batch {batch}" for batch in by_batch))
        parts += [
            f"### {net}",
            "Milliseconds for a batch:",
            _table(head, _by_runner(by_batch, runners, _milliseconds)),
            "Rows a second:",
            _table(head, _by_runner(by_batch, runners, _rows)),
            *_failures(by_batch, runners, "batch"),
        ]
    if nets.get("not_measured"):
        parts.append(f"The time did not suffice for {', '.join(nets['not_measured'])}.")
    return "\n\n".join(parts)


def _pipeline(pipeline: Figures, runners: Mapping[str, str]) -> str:
    figures: Mapping[str, Mapping[str, Figures]] = pipeline.get("figures", {})
    if not figures:
        return ""
    parts = [f"## The whole pipeline in one process\n\n{PIPELINE}"]
    for request, by_callers in figures.items():
        head = ("what runs the nets", *(f"{callers} at a time" for callers in by_callers))
        parts += [
            f"### {request}",
            _table(head, _by_runner(by_callers, runners, _requests)),
            *_failures(by_callers, runners, "callers"),
        ]
    return "\n\n".join(parts)


def _server(server: Figures) -> str:
    if not server:
        return ""
    parts = ["## The whole pipeline through the server", *(f"> {line}" for line in server.get("runs_on", []))]
    if server.get("on_gpu") is False:
        parts.append("**This server ran the nets on the CPU**, for the reason that it gives above.")
    parts += _served(server.get("served", {}))
    acts = [(each["what"], "verified" if each["verified"] else "not verified") for each in server.get("verdicts", [])]
    if acts:
        parts.append(_table(("the demo's acts", "verdict"), acts))
    requests: Mapping[str, Figures] = server.get("requests", {})
    if requests:
        head = ("request", *(f"{callers} at a time" for callers in next(iter(requests.values()))))
        rows = [(name, *map(_requests, by_callers.values())) for name, by_callers in requests.items()]
        parts += [SERVER, _table(head, rows)]
        failed = [
            f"- {name}, {callers} callers: {each['trouble']}"
            for name, by_callers in requests.items()
            for callers, each in by_callers.items()
            if "trouble" in each
        ]
        parts += ["\n".join(failed)] if failed else []
    return "\n\n".join(parts)


def _served(served: Figures) -> Iterable[str]:
    nets: Mapping[str, Figures] = served.get("nets", {})
    if not served:
        return
    whose = "NVIDIA's own" if served["native"] else "this project's, in Python"
    yield (
        f"The nets were run, in {served['precision']}, by the backend `{served['backend']}`, {whose}, of Triton "
        f"{served['triton']}." + ("" if served["native"] else " **NVIDIA's own backend was not run here.**")
    )
    if nets:
        some = next(iter(nets.values()))
        yield SERVED.format(batches=", ".join(map(str, some["batches"])), callers=some["callers"])
        head = ("net", "inputs", "requests", "answers", "largest difference", "another input's", "beyond the limit")
        rows = [
            (
                net,
                each["inputs"],
                each["requests"],
                each["answers"],
                _difference({**each, "within_limit": not each["beyond_limit"]}),
                *(f"**{each[key]}**" if each[key] else 0 for key in ("anothers", "beyond_limit", "not_answered")),
            )
            for net, each in nets.items()
        ]
        yield _table((*head, "not answered"), rows)
    wrong = [f"- **{net}**: {what}" for net, each in nets.items() for what in each["told"]]
    if wrong:
        yield "**Wrong answers**, the first of each net:\n\n" + "\n".join(wrong)
    alike = [
        f"{each['neighbours_not_told_apart']} of {net}"
        for net, each in nets.items()
        if each["neighbours_not_told_apart"]
    ]
    if alike:
        yield f"Inputs whose answer is too near the next one's to tell them apart: {', '.join(alike)}."
    if "right" not in served:
        yield "**Not all nets were asked**; why is at the end of the page."


def _troubles(steps: Mapping[str, Figures]) -> str:
    rows = [(name, step["trouble"]) for name, step in steps.items() if step["trouble"]]
    if not rows:
        return "## What did not run\n\nEverything ran."
    return "## What did not run\n\n" + _table(("step", "why"), rows)


def _by_runner(
    by_column: Mapping[str, Mapping[str, Figures]], runners: Mapping[str, str], cell: Callable[[Figures], str]
) -> list[tuple[str, ...]]:
    """A row for each runner that has anything to show; what it did not do is a dash."""
    shown = [name for name in runners if any(name in each for each in by_column.values())]
    return [
        (runners[name], *(cell(each[name]) if name in each else NOTHING for each in by_column.values()))
        for name in shown
    ]


def _failures(by_column: Mapping[str, Mapping[str, Figures]], runners: Mapping[str, str], what: str) -> Iterable[str]:
    lines = [
        f"- {runners[name]}, {what} {column}: {figures['trouble']}"
        for column, each in by_column.items()
        for name, figures in each.items()
        if "trouble" in figures
    ]
    if lines:
        yield "\n".join(lines)


def _milliseconds(figures: Figures) -> str:
    if "trouble" in figures:
        return "failed"
    return f"{figures['median_ms']:g} ({figures['p5_ms']:g} to {figures['p95_ms']:g})"


def _rows(figures: Figures) -> str:
    return "failed" if "trouble" in figures else f"{figures['rows_per_s']:g}{_times(figures)}"


def _requests(figures: Figures) -> str:
    if "trouble" in figures:
        return "failed"
    return f"{_milliseconds(figures)} ms, {figures['requests_per_s']:g}/s{_times(figures)}"


def _times(figures: Figures) -> str:
    return f", {figures['times_cpu']:.3g}x" if "times_cpu" in figures else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
