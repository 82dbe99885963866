"""What a run keeps on disk to be resumed: its settings, the weights of finished stages, and saved states of the Trainer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from lateint.errors import InputError
from lateint.model.digests import digest_file, digest_json
from lateint.model.model import Model
from lateint.train.history import Step
from lateint_store.disk.files import make_folder, read_regular, replace_file, sync_file, sync_folder

_COMPLETE = "complete"  # file that marks a saved state: digests of its files


def claim(folder: Path, settings: Mapping[str, object]) -> bool:
    """Claim a folder for a run with these settings. Returns: True if it holds an interrupted run of the same settings.

    Raises: InputError if it holds an interrupted run with other settings; the message names one that differs.
    """
    shutil.rmtree(_finished(folder), ignore_errors=True)  # of a run that was killed at its very end
    file = folder / "run.json"
    plain = json.loads(json.dumps(settings))
    found = _read_settings(file)
    if found is None:
        make_folder(folder)
        replace_file(file, json.dumps(plain, indent=1).encode())
        return False
    if odd := sorted(key for key in plain.keys() | found.keys() if plain.get(key) != found.get(key)):
        raise InputError(
            f"{folder} holds an interrupted run with another {odd[0]}: {found.get(odd[0])!r}, now {plain.get(odd[0])!r}; "
            "repeat the command of that run to resume it, or remove the folder to start over"
        )
    return True


def _read_settings(file: Path) -> dict[str, object] | None:
    """Read the settings of an interrupted run; None if there is none, or if it was killed before anything else was written.

    Raises: InputError if they cannot be read, and the folder holds states of that run.
    """
    if not file.parent.is_dir():
        return None
    try:
        found = json.loads(read_regular(file))
    except (OSError, ValueError):
        found = None
    if isinstance(found, dict):
        return found
    if any(not other.name.startswith(file.name) for other in file.parent.iterdir()):  # more than the file and its draft
        raise InputError(f"{file} is damaged, so its run cannot be resumed; remove {file.parent} to start over")
    return None


def release(folder: Path) -> None:
    """Remove the folder of a finished run: at once, for a part of it would look like an interrupted run."""
    folder.replace(_finished(folder))
    shutil.rmtree(_finished(folder))


def _finished(folder: Path) -> Path:
    return folder.with_name(folder.name + ".finished")


def stage_folder(folder: Path, stage: int) -> Path:
    """Where the Trainer saves the states of a stage."""
    return folder / f"stage{stage}"


class StateKeeper(TrainerCallback):
    """Makes each state that the Trainer saves durable, then marks it as complete."""

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Sync the files of the new state and write its mark."""
        folder = Path(args.output_dir or "") / f"checkpoint-{state.global_step}"
        files = list(folder.iterdir())
        for file in files:
            sync_file(file)
        for names in (folder, folder.parent, folder.parent.parent):
            sync_folder(names)
        replace_file(folder / _COMPLETE, json.dumps({file.name: digest_file(file) for file in files}).encode())


def saved_states(folder: Path) -> Iterator[Path]:
    """Yield the whole saved states of a stage, newest first. Cost: reads the files of each state that is asked for."""
    newest_first = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    yield from (path for path in newest_first if _is_whole(path))


def _is_whole(state: Path) -> bool:
    """True if a saved state has all its files with the bytes that were written."""
    try:
        digests = json.loads(read_regular(state / _COMPLETE))
        return bool(digests) and all(digest_file(state / name) == digest for name, digest in digests.items())
    except (OSError, ValueError, AttributeError, TypeError):
        return False


def keep_stage(model: Model, folder: Path, stage: int, steps: Sequence[Step]) -> None:
    """Write the weights of a finished stage, then its steps, and delete its saved states."""
    make_folder(folder)
    weights = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    save_file(weights, _weights(folder, stage))
    sync_file(_weights(folder, stage))
    sync_folder(folder)
    kept = {"steps": [asdict(step) for step in steps], "weights": digest_file(_weights(folder, stage))}
    replace_file(_steps(folder, stage), json.dumps(kept | {"digest": digest_json(kept)}).encode())
    shutil.rmtree(stage_folder(folder, stage), ignore_errors=True)


def restore_stage(model: Model, folder: Path, stage: int) -> list[Step] | None:
    """Load the weights of a stage that an interrupted run has finished. Returns: its steps; None if it is not finished.

    Raises: InputError if a file differs from what was written.
    """
    file = _steps(folder, stage)
    if not file.is_file():
        return None
    try:
        kept = json.loads(read_regular(file))
        if isinstance(kept, dict):  # a list of an earlier version has no digests
            found = kept.pop("digest"), kept["weights"]
            if found != (digest_json(kept), digest_file(_weights(folder, stage))):
                raise ValueError("a digest does not match")
            kept = kept["steps"]
        steps = [Step(**step) for step in kept]
        model.load_state_dict(load_file(_weights(folder, stage)))
    except (OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError) as error:
        raise InputError(f"{file} or the weights beside it are damaged ({error}); remove {folder} to start over") from error
    return steps


def _weights(folder: Path, stage: int) -> Path:
    return folder / f"stage{stage}.safetensors"


def _steps(folder: Path, stage: int) -> Path:
    return folder / f"stage{stage}.json"
