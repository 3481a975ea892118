"""README.md of an exported folder: the model card, with the metadata header of the Hugging Face Hub."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from functions.checkpointing.run_folder import read_record
from functions.evaluation.stages import are_of_dementia
from functions.exporting.description import USE
from functions.exporting.preparation import Preparation
from functions.reports.evaluation_text import summary_lines
from functions.reports.markdown_text import cell, row
from functions.reports.model_card import CARD, model_card
from functions.reports.run_report import read_results
from functions.runtime.errors import UserError, printable

LIBRARIES = {"model.safetensors": "transformers", "model.onnx": "onnx"}
LOADING = {
    "model.onnx": '''\
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
[logits] = session.run(["logits"], {"images": prepare("slice.png")[None]})
''',
    "model.pt2": '''\
import torch

network = torch.export.load("model.pt2").module()
logits = network(torch.from_numpy(prepare("slice.png"))[None])
''',
    "model.safetensors": '''\
import torch
from transformers import ViTForImageClassification

network = ViTForImageClassification.from_pretrained(".")
logits = network(pixel_values=torch.from_numpy(prepare("slice.png"))[None]).logits
''',
}


@dataclass(frozen=True)
class Card:
    """What a card tells: the description, the files with a remark on each, scores of the run, items of its model card.

    `deviations` are what preprocessor_config.json cannot express; empty without that file.
    """

    title: str
    description: dict
    preparation: Preparation
    files: dict[str, str]
    license: str
    deviations: Sequence[str] = ()
    scores: Sequence[str] = ()
    items: Sequence[Sequence[str]] = field(default_factory=list)


def check_license(name: str) -> str:
    """UserError unless `name` can be a licence identifier of the Hub, such as cc-by-nc-4.0."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]{0,49}", name):
        raise UserError(f'--license {name[:60]!r}: not an identifier of the Hub, such as "cc-by-nc-4.0" or "mit"')
    return name


def render_card(card: Card) -> str:
    """The card as Markdown after a YAML header; class names and messages are escaped."""
    description, caveats = card.description, card.description["caveats"]
    parts = [
        f"---\n{yaml.safe_dump(_header(card), sort_keys=False)}---",
        f"# {cell(card.title)}",
        f"**{USE[0].upper()}{USE[1:]}.** An image classifier{' for slices of brain MRI' * _of_brains(card)}, exported "
        "by ViT-Dementia.",
        *(f"> **{cell(caveat)}**" for caveat in caveats),
        "Classes, in the order of the logits: " + ", ".join(cell(name) for name in description["class_names"]) + ". "
        f"Probabilities: {description['output']['probabilities']}.",
        "## Files", "\n".join(["| file | |", "|---|---|", *(row([f"`{name}`", cell(remark)])
                                                             for name, remark in card.files.items())]),
        "## Preparing an image", _numbered(description["steps"]),
        "`description.json` holds the same for programs. In Python:",
        f"```python\n{card.preparation.code()}```",
        *_deviations(card),
        "## Loading", *(f"```python\n{LOADING[name]}```" for name in LOADING if name in card.files),
        "## Scores", _indented(card.scores) if card.scores else
        "Not known here: the checkpoint was exported without its run, or the run was not finished.",
        *_items(card)]
    return "\n\n".join(parts) + "\n"


def run_facts(run: Path | None) -> tuple[list[str], list[list[str]]]:
    """(lines of scores, items of the model card) of a finished run's folder; none of another or without one."""
    if run is None or not (run / "run.json").exists() or (record := read_record(run))["state"] != "finished":
        return [], []
    metrics, split, _ = read_results(run)
    return summary_lines(metrics.test), model_card(record, split, evaluated=False)


def _header(card: Card) -> dict:
    """The Hub's metadata."""
    library = next((LIBRARIES[name] for name in LIBRARIES if name in card.files), None)
    network = "resnet" if str(card.description["network"].get("model")).startswith("resnet") else "vision-transformer"
    licence = {"license": card.license} | ({"license_name": "not-stated"} if card.license == "other" else {})
    return licence | ({"library_name": library} if library else {}) | {
        "pipeline_tag": "image-classification",
        "tags": [network, "medical", *["brain-mri", "dementia"] * _of_brains(card), "research-only"]}


def _of_brains(card: Card) -> bool:
    return are_of_dementia(card.description["class_names"])


def _deviations(card: Card) -> list[str]:
    if not card.deviations:
        return []
    return ["`preprocessor_config.json`, which transformers' `AutoImageProcessor` reads, cannot express all of this:",
            "\n".join(f"- {cell(text)}" for text in card.deviations)]


def _items(card: Card) -> list[str]:
    if not card.items:
        return []
    return ["## Model card", CARD, "\n".join(["| item | |", "|---|---|", *(row([cell(name), cell(value)])
                                                                            for name, value in card.items)])]


def _numbered(steps: Sequence[str]) -> str:
    return "\n".join(f"{number}. {cell(step)}" for number, step in enumerate(steps, start=1))


def _indented(lines: Sequence[str]) -> str:
    """A code block that no text in it can end."""
    return "\n".join(f"    {printable(line)}" for line in lines)
