"""MedFILIP as the training loop sees it: images against the structured labels of their batch.

A step's texts are the distinct labels of the whole step, over all processes and parts, so that these do not change
what is learned: each compares its own images with all texts. Texts were tokenised beforehand, and the frozen text
model's vectors behind the semantic similarity are a table too: a step only looks both up.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from pipeline.losses.medfilip import (
    NOTHING,
    TERMS,
    ITMConfig,
    Pairs,
    counted_pairs,
    itm_terms,
    ownership_matrix,
    similarity_matrix,
    term_counts,
    term_weights,
)
from pipeline.networks.io import save_medfilip
from pipeline.networks.medfilip import MedFILIP, MedFILIPConfig
from pipeline.training.augmentation import AugmentConfig, mirrored, plain
from pipeline.training.data import Examples, Share
from pipeline.training.validation import Validation, auroc, gathered, shares, term_means

# What a row of labels [5, K] lists: of the first two fine-grained labels, of the others categories alone.
PRESENT_LABELS, UNCERTAIN_LABELS, PRESENT, UNCERTAIN, ABSENT = range(5)
MULTIPLE = 8  # numbers and lengths of texts are rounded up, so that a device meets few different shapes


@dataclass(frozen=True)
class LabelTexts:
    """Every structured label, D of them; the first C are the categories alone.

    Attributes:
        categories: names [C].
        tokens: token ids, padded [D, T].
        lengths: tokens of each text, int64 [D].
        vectors: of the frozen text encoder, mean pooled, of length 1, float32 [D, h].
        plain: index of each label's category alone, int64 [D].
        mirror: index of each label with left and right exchanged, int64 [D].
    """

    categories: tuple[str, ...]
    tokens: Tensor
    lengths: Tensor
    vectors: Tensor
    plain: Tensor
    mirror: Tensor

    def take(self, labels: Tensor) -> Tensor:
        """Token ids of some labels [M], padded to the longest of them, rounded up: [M, T']."""
        longest = -(-int(self.lengths[labels].max()) // MULTIPLE) * MULTIPLE
        return self.tokens[labels, :longest]


@dataclass(frozen=True)
class MedFILIPTargets:
    """What a batch says to the loss: its texts as the network takes them, and how its images should fit them."""

    texts: Tensor
    pairs: Pairs
    loss: ITMConfig

    def counts(self) -> Tensor:
        """Of the pairs: float32 [2]."""
        return term_counts(self.pairs, self.loss)


class MedFILIPMethod:
    """Examples' labels are indices into the label texts, int64 [n, 5, K] padded with NOTHING.

    Args:
        model: the network.
        loss: the loss.
        texts: the structured labels.
        augmentation: how images vary, and labels with them.
        text_weights: the text transformer's first weights, its state dict.
        tokenizer: folder of the tokenizer.
    """

    terms = TERMS

    def __init__(
        self,
        model: MedFILIPConfig,
        loss: ITMConfig,
        texts: LabelTexts,
        augmentation: AugmentConfig,
        text_weights: Mapping[str, Tensor],
        tokenizer: Path,
    ) -> None:
        self.model, self.loss, self.texts, self.augmentation = model, loss, texts, augmentation
        self.text_weights, self.tokenizer = text_weights, tokenizer
        self.queries = {"pathology": texts.categories}
        self.vectors, self.plain = texts.vectors, texts.plain  # where the losses are

    @property
    def config(self) -> dict[str, Any]:
        """Loss and augmentation; the network's is stored with the network."""
        return {"loss": asdict(self.loss), "augment": asdict(self.augmentation)}

    def network(self) -> MedFILIP:
        """A new network whose text transformer starts as the frozen one."""
        network = MedFILIP(self.model)
        network.text.load_state_dict(self.text_weights)
        return network

    def to(self, device: torch.device) -> None:
        """Move what the semantic similarity matrix looks up."""
        self.vectors, self.plain = self.texts.vectors.to(device), self.texts.plain.to(device)

    def weights(self) -> Tensor:
        """Equation (9): float32 [2]."""
        return term_weights(self.loss).to(self.vectors.device)

    def collate(self, share: Share) -> dict[str, Tensor]:
        """The part's labels [B, 5, K], the step's distinct ones [M] and these as the network takes them."""
        labels = share.labels.gather(share.rows)
        turned = mirrored(share.draws, self.augmentation)[:, None, None]
        labels = torch.where(turned & (labels != NOTHING), self.texts.mirror[labels], labels)
        draws = torch.rand(labels.shape, generator=share.generator)
        shortened = (draws < self.loss.plain) & (labels != NOTHING)
        labels = torch.where(shortened, self.texts.plain[labels], labels)
        distinct = self._distinct(labels, share.generator)
        return {
            "labels": labels[share.own],
            "distinct": distinct,
            "texts": self._inputs(distinct.clamp(min=0)),
        }

    def targets(self, labels: Mapping[str, Tensor], _draws: Tensor) -> MedFILIPTargets:
        """How the images should fit the step's texts; the labels followed the augmentation already."""
        found, distinct = labels["labels"], labels["distinct"]
        return MedFILIPTargets(labels["texts"], self._pairs(found, self._owned(found), distinct), self.loss)

    def loss_terms(self, model: nn.Module, images: Tensor, targets: MedFILIPTargets, counts: Tensor) -> Tensor:
        """float32 [2], in the order of TERMS."""
        return itm_terms(model(images, targets.texts), targets.pairs, self.loss, counts)

    @torch.no_grad()
    def validate(self, model: nn.Module, examples: Examples, batch: int, fabric: Fabric) -> Validation:
        """Images against all categories alone: loss terms, and AUROC of each category's cosine."""
        model.eval()
        categories = torch.arange(len(self.texts.categories))
        texts, categories = self._inputs(categories).to(fabric.device), categories.to(fabric.device)
        sums, counts, one = torch.zeros(3, len(TERMS), device=fabric.device)
        one += 1
        cosines, labels = [], []
        for images, found in shares(examples, batch, fabric):
            output = model(plain(images), texts)
            present = self._with_policy(found, PRESENT, UNCERTAIN)
            pairs = self._pairs(found, present, categories)
            sums += itm_terms(output, pairs, self.loss, one)
            counts += term_counts(pairs, self.loss)
            cosines.append(output.cosines.float())
            positive = ownership_matrix(present, categories).bool()
            labels.append(torch.stack([positive, pairs.counted], dim=-1).to(torch.uint8))
        model.train()
        terms = term_means(sums, counts, fabric)
        positive, counted = gathered(labels, len(examples), fabric).bool().unbind(-1)
        found_auroc = auroc(gathered(cosines, len(examples), fabric), positive, counted).cpu()
        named = dict(zip(TERMS, terms.tolist(), strict=True))
        return Validation(float(terms @ term_weights(self.loss)), named, {"pathology": found_auroc})

    def save(self, folder: Path, weights: Mapping[str, Tensor], extra: Mapping[str, Any]) -> None:
        """Store the network with its tokenizer and the names of its categories."""
        save_medfilip(folder, self.model, weights, self.texts.categories, self.tokenizer, extra)

    def _inputs(self, labels: Tensor) -> Tensor:
        """Some labels [M] as the network takes them: token ids [M, T], or frozen vectors [M, h]."""
        return self.texts.take(labels) if self.model.train_text else self.texts.vectors[labels]

    def _owned(self, labels: Tensor) -> Tensor:
        """The labels that count as an image's own [n, K]."""
        owned = self._with_policy(labels, PRESENT_LABELS, UNCERTAIN_LABELS)
        if not self.loss.every_category:
            return owned
        return torch.cat([owned, self._with_policy(labels, PRESENT, UNCERTAIN)], 1)

    def _with_policy(self, labels: Tensor, present: int, uncertain: int) -> Tensor:
        """Labels that count as present [n, K or 2 K]."""
        kinds = [present, uncertain] if self.loss.uncertain == "positive" else [present]
        return torch.cat([labels[:, kind] for kind in kinds], dim=1)

    def _pairs(self, labels: Tensor, owned: Tensor, texts: Tensor) -> Pairs:
        """Images with labels [n, 5, K], of which `owned` count as theirs, against labels [M]."""
        present, unsure, denied = (labels[:, kind] for kind in (PRESENT, UNCERTAIN, ABSENT))
        counted = counted_pairs(torch.cat([owned, present], 1), unsure, denied, texts, self.plain, self.loss)
        if self.loss.ssm:
            same = self.loss.ssm_same_category
            return Pairs(similarity_matrix(owned, texts.clamp(min=0), self.vectors, self.plain, same), counted)
        return Pairs(ownership_matrix(owned, texts), counted)

    def _distinct(self, labels: Tensor, generator: torch.Generator) -> Tensor:
        """The labels to match, once each, padded with NOTHING: [M].

        The images' own ones, at most `loss.texts` drawn of them, and where wanted every category alone.
        """
        distinct = torch.unique(self._with_policy(labels, PRESENT_LABELS, UNCERTAIN_LABELS))
        distinct = distinct[distinct != NOTHING]
        if self.loss.texts and len(distinct) > self.loss.texts:
            drawn = torch.randperm(len(distinct), generator=generator)[: self.loss.texts]
            distinct = distinct[drawn.sort().values]
        if self.loss.every_category:
            distinct = torch.unique(torch.cat([distinct, torch.arange(len(self.texts.categories))]))
        number = max(1, -(-len(distinct) // MULTIPLE)) * MULTIPLE
        return torch.cat([distinct, distinct.new_full((number - len(distinct),), NOTHING)])
