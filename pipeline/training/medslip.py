"""MeDSLIP as the training loop sees it: existence matrices against two streams of queries."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from pipeline.laterality import other_side
from pipeline.losses.medslip import TERMS, UNMENTIONED, LossConfig, Targets, medslip_terms, pool_labels, term_weights
from pipeline.networks.io import save_model
from pipeline.networks.medslip import MeDSLIP, MeDSLIPConfig
from pipeline.training.augmentation import AugmentConfig, constant, mirrored, plain
from pipeline.training.data import Examples, Share
from pipeline.training.validation import Validation, auroc, gathered, shares, term_means


@dataclass(frozen=True)
class Queries:
    """The prompts to learn.

    Attributes:
        pathologies: names [N_p].
        anatomies: names [N_a], the last one collective.
        pathology_vectors: of the frozen text encoder, float32 [N_p, h].
        anatomy_vectors: float32 [N_a, h].
    """

    pathologies: tuple[str, ...]
    anatomies: tuple[str, ...]
    pathology_vectors: Tensor
    anatomy_vectors: Tensor


@dataclass(frozen=True)
class Mirror:
    """Which anatomy row takes whose labels when the image is mirrored.

    Attributes:
        source: the row whose labels each row takes [N_a]; rows without a side take their own.
        unpaired: rows with a side whose counterpart is not in the set; their labels go to the last row, "other".
    """

    source: tuple[int, ...]
    unpaired: tuple[int, ...]

    @classmethod
    def of(cls, anatomies: tuple[str, ...]) -> "Mirror":
        """The mirror of a query set's anatomy names, the last of which is the collective one."""
        names = {name: row for row, name in enumerate(anatomies)}
        opposite = [names.get(other_side(name), -1) for name in anatomies]
        source = tuple(row if other < 0 else other for row, other in enumerate(opposite))
        return cls(source, tuple(row for row, other in enumerate(opposite) if other < 0))

    def labels(self, existence: Tensor) -> Tensor:
        """Existence matrices [B, N_a, N_p] of the mirrored images."""
        mirrored = existence.index_select(1, constant(self.source, existence.device))
        if self.unpaired:
            mirrored.index_fill_(1, constant(self.unpaired, existence.device), UNMENTIONED)
            rows = (*self.unpaired, existence.shape[1] - 1)
            joined = existence.index_select(1, constant(rows, existence.device))
            mirrored[:, -1] = pool_labels(joined, 1).to(existence.dtype)
        return mirrored


@dataclass(frozen=True)
class MeDSLIPTargets:
    """What a batch says to the losses, and the draws of the prototypical one [B, N_a, N_p]."""

    existence: Targets
    draws: Tensor

    def counts(self) -> Tensor:
        """Of the existence matrices: float32 [5]."""
        return self.existence.counts()


class MeDSLIPMethod:
    """Examples' labels are existence matrices, int8 [n, N_a, N_p] of values -1, 0, 1, 2.

    Args:
        model: the network.
        loss: the losses.
        queries: the prompts.
        augmentation: how images vary, and labels with them.
        seed: of the negatives drawn in validation, so that losses of different epochs compare.
    """

    terms = TERMS

    def __init__(
        self, model: MeDSLIPConfig, loss: LossConfig, queries: Queries, augmentation: AugmentConfig, seed: int
    ) -> None:
        self.model, self.loss, self.augmentation, self.seed = model, loss, augmentation, seed
        self.queries = {"pathology": queries.pathologies, "anatomy": queries.anatomies}
        self.prompts = queries.pathology_vectors, queries.anatomy_vectors
        self.mirror = Mirror.of(queries.anatomies)

    @property
    def config(self) -> dict[str, Any]:
        """Loss and augmentation; the network's is stored with the network."""
        return {"loss": asdict(self.loss), "augment": asdict(self.augmentation)}

    def network(self) -> MeDSLIP:
        """A new network."""
        return MeDSLIP(self.model)

    def to(self, device: torch.device) -> None:
        """Move the prompts."""
        pathology, anatomy = self.prompts
        self.prompts = pathology.to(device), anatomy.to(device)

    def weights(self) -> Tensor:
        """Equation (7): float32 [5]."""
        return term_weights(self.loss).to(self.prompts[0].device)

    def collate(self, share: Share) -> dict[str, Tensor]:
        """Existence matrices int8 [B, N_a, N_p], and draws of the prototypical loss, uniform in [0, 1)."""
        existence = share.labels.gather(share.rows[share.own])
        draws = torch.rand(len(share.rows), *existence.shape[1:], generator=share.generator)
        return {"existence": existence, "draws": draws[share.own]}

    def targets(self, labels: Mapping[str, Tensor], draws: Tensor) -> MeDSLIPTargets:
        """Label policies on the existence matrices of the augmented images."""
        existence = labels["existence"]
        if self.augmentation.flip == "laterality":
            turned = mirrored(draws, self.augmentation)[:, None, None]
            existence = torch.where(turned, self.mirror.labels(existence), existence)
        return MeDSLIPTargets(Targets.of(existence, self.loss), labels["draws"])

    def loss_terms(self, model: nn.Module, images: Tensor, targets: MeDSLIPTargets, counts: Tensor) -> Tensor:
        """float32 [5], in the order of TERMS."""
        output = model(images, *self.prompts)
        return medslip_terms(output, self.prompts, targets.existence, targets.draws, self.loss, counts)

    @torch.no_grad()
    def validate(self, model: nn.Module, examples: Examples, batch: int, fabric: Fabric) -> Validation:
        """Loss terms, and AUROC of each pathology and anatomy among the images where it is labelled."""
        model.eval()
        sums, counts, one = torch.zeros(3, len(TERMS), device=fabric.device)
        one += 1
        logits, labels = [], []
        draws = self._validation_draws()  # the same for every image, so that they depend on neither batch nor process
        for images, existence in shares(examples, batch, fabric):
            output = model(plain(images), *self.prompts)
            targets = Targets.of(existence, self.loss)
            sums += medslip_terms(output, self.prompts, targets, draws.expand_as(existence), self.loss, one)
            counts += targets.counts()
            logits.append(torch.cat([output.pathology.logits, output.anatomy.logits], dim=1).float())
            both = zip(targets.pathology, targets.anatomy, strict=True)  # positive ones, labelled ones
            labels.append(torch.stack([torch.cat(streams, dim=1) for streams in both], dim=-1).to(torch.uint8))
        model.train()
        terms = term_means(sums, counts, fabric)
        positive, labelled = gathered(labels, len(examples), fabric).bool().unbind(-1)
        aurocs = auroc(gathered(logits, len(examples), fabric), positive, labelled).cpu()
        split = len(self.prompts[0])
        named = dict(zip(TERMS, terms.tolist(), strict=True))
        loss = float(terms @ term_weights(self.loss))
        return Validation(loss, named, {"pathology": aurocs[:split], "anatomy": aurocs[split:]})

    def save(self, folder: Path, weights: Mapping[str, Tensor], extra: Mapping[str, Any]) -> None:
        """Store the network and the names of its queries."""
        save_model(folder, self.model, weights, self.queries["pathology"], self.queries["anatomy"], extra)

    def _validation_draws(self) -> Tensor:
        """Uniform draws [N_a, N_p]."""
        pathology, anatomy = self.prompts
        generator = torch.Generator().manual_seed(self.seed)
        return torch.rand(len(anatomy), len(pathology), generator=generator).to(pathology.device)
