"""Checkpoints that shipped with earlier versions: the recipe that trains each again, and how stores made by it are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lateint.errors import ModelError


@dataclass(frozen=True, slots=True)
class Retired:
    """A checkpoint that no longer ships. `tensors`: digest of its tensors; `weights`: that below the arrays of its stores."""

    name: str
    recipe: str
    tensors: str
    weights: str

    def __str__(self) -> str:
        return (
            f"give the folder of checkpoint {self.name!r} [{self.tensors[:12]}], which earlier versions shipped: "
            f"lateint train --recipe {self.recipe} trains one like it"
        )


RETIRED = (
    Retired(
        "latent",
        "latent_minilm",
        "f958e54af122958886226360d4837654a0a0b5c6926fa7cee967118c64f51d6a",
        "7c3c5889942e6c59fca8441fe88732c5c9eb27f01eb50470cc0175c677c70666",
    ),
    Retired(
        "evidence",
        "evidence",
        "e56d00ab2b612249d048f4f6fdd387ad52152f8152136f78256d3412cecf198e",
        "084fddfab481e838515b913bb97a760349a8b2a08369e68e6e0afd85f7d7b16e",
    ),
    Retired(
        "deformer",
        "student_deformer",
        "9eee9a7ea3c80c1b3e17a3636dc70325ab45595d73c9a88ea586046d921b29b0",
        "c3007c0ebcc8c87ae0a0ab68c0437d5e2e2206b730c5b181a5cfc1d77f33dc3d",
    ),
    Retired(
        "dipair",
        "student_dipair",
        "83dbf363f3a379f6e1eb983f9a92f657171729ffa1eb3507fdba026d72fa0543",
        "2a22357cc8e5f68fb04da7a9fb710647405f3814dce9c26a6937aba5d252b45a",
    ),
    Retired(
        "teacher",
        "teacher",
        "e70248747a369674fefe1dd4c607e2a69c9d3d72984ecb5aa6e25de85c4402f4",
        "efb2328f1d580ecde96f5ba974710599c278bdd10c81eaafe574c1839748fbd7",
    ),
)
"""In the order in which they are looked up."""


def check_not_retired(name: str) -> None:
    """Refuse a name that only a checkpoint of earlier versions had. Raises: ModelError with the recipe and the digest."""
    for found in RETIRED:
        if name == found.name:
            raise ModelError(f"no model {name!r} ships with this version; {found}; 'latent' and 'reranker' ship")


def maker_of(fingerprint: Mapping[str, object]) -> Retired | None:
    """Return the retired checkpoint that made a store with this fingerprint; None for any other store."""
    made = {fingerprint.get(f"{array}.weights") for array in ("states", "vector")}
    return next((found for found in RETIRED if found.weights in made), None)
