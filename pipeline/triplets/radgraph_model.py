"""RadGraph over many reports: batches of similar length instead of the package's one report at a time, same output.

The package's own parts read words and score; what differs is which spans and pairs they are given. The spans of a batch
stand one after the other, without padding, and only pairs of entities are scored, as the package drops all others in
the end. How annotations become triplets is in `radgraph_rules`.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pipeline.triplets.lexicon import load_lexicon
from pipeline.triplets.radgraph_archive import RadGraphConfig, load_radgraph
from pipeline.triplets.radgraph_reading import COUNTS
from pipeline.triplets.radgraph_rules import GraphRules
from pipeline.triplets.shards import Item
from pipeline.triplets.triplet import Triplet

Annotation = dict[str, Any]  # {"text": words joined by spaces, "entities": {"1": {"tokens": ..., ...}, ...}}
Entities = dict[str, dict[str, Any]]

_LENGTH = 512  # of reports in a full batch; longer ones come in smaller batches
_STRETCH = 1.25  # the longest of a batch against its shortest: padding costs as much as words
_SPANS, _PAIRS = 1 << 14, 1 << 12  # scored at a time; each takes some 10 kB


class Report(NamedTuple):
    """A report as the package's reader gives it."""

    words: list[str]
    pieces: dict[str, list[Any]]  # token_ids and masks of its word pieces; mask and offsets of its words among them

    @property
    def length(self) -> int:
        """Places it takes in a batch; no piece stands for some words, such as a control character."""
        return max(len(self.words), len(self.pieces["token_ids"]))


class Spans(NamedTuple):
    """The candidate spans of a batch, S in all, report after report; in each by first word, then by last."""

    owners: Tensor  # int64 [S], the report's row in the batch
    words: Tensor  # int64 [S, 2], first and last word in the report


class RadGraphModel:
    """A model of the `radgraph` package, loaded once, on a GPU where there is one.

    There BERT computes in half precision (bfloat16 where the GPU has it), so that scores which nearly tie may fall
    otherwise than in single precision. On a CPU all is single precision, and only ties in its last digits may.

    Raises:
        ParamsError: there is no such model.
        ModelError: a file is missing or damaged.
    """

    def __init__(self, config: RadGraphConfig) -> None:
        package = load_radgraph(config)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._reader, self._network = package.reader, package.model.to(self._device)
        self._model, self._batch = config.model, config.batch

    def annotate(self, reports: Sequence[str]) -> list[Annotation]:
        """Annotate reports in the format of the published graphs.

        A report without words has no entities; the package reads the word "None" in its place.

        Args:
            reports: N texts of any length.

        Returns:
            N annotations in the order of the reports; they do not depend on the batches.
        """
        read = [self._split(report) for report in reports]
        entities: list[Entities] = [{} for _ in reports]
        for rows in length_batches([report.length for report in read], self._batch):
            for row, found in zip(rows, self._annotate([read[row] for row in rows]), strict=True):
                entities[row] = found
        return [{"text": " ".join(report.words), "entities": each} for report, each in zip(read, entities, strict=True)]

    def _split(self, text: str) -> Report:
        from radgraph.allennlp.data.tokenizers import Token
        from radgraph.utils import preprocess_reports

        words: list[str] = preprocess_reports([text], self._model)[0]["sentences"][0]
        tokens = [Token(self._reader._normalize_word(word)) for word in words]
        return Report(words, self._indexer.tokens_to_indices(tokens, self._network.vocab))

    @property
    def _indexer(self) -> Any:
        return self._reader._token_indexers["bert"]

    @torch.inference_mode()
    def _annotate(self, batch: list[Report]) -> list[Entities]:
        states = self._embed(batch)  # [B, W, h]
        lengths = [len(report.words) for report in batch]
        spans = batch_spans(lengths, self._reader._max_span_width)
        flat = states.flatten(0, 1).unsqueeze(0)  # [1, B * W, h]
        ends = spans.words + spans.owners.unsqueeze(1) * states.shape[1]  # [S, 2], words of the batch
        labels, mentions = self._score_spans(flat, ends)
        pairs = self._entity_pairs(labels, mentions, spans.owners, lengths)
        relations = self._score_pairs(flat, ends, mentions, pairs)
        return self._name(batch, spans, labels, pairs, relations)

    def _embed(self, batch: list[Report]) -> Tensor:
        """Vectors of words, [B, W, h]; those beyond a report's last word mean nothing."""
        # BERT reads at least one piece, masked if need be: there may be none of any word
        lengths = {key: max(1, *(len(report.pieces[key]) for report in batch)) for key in batch[0].pieces}
        padded = [self._indexer.as_padded_tensor_dict(report.pieces, lengths) for report in batch]
        stacked = {key: torch.stack([each[key] for each in padded]).to(self._device) for key in padded[0]}
        gpu = self._device.type == "cuda"
        half = torch.bfloat16 if not gpu or torch.cuda.is_bf16_supported() else torch.float16
        with torch.autocast(self._device.type, half, enabled=gpu):
            states: Tensor = self._network._embedder({"bert": stacked})
        return states.float()

    def _vectors(self, flat: Tensor, ends: Tensor) -> Tensor:
        """Vectors of spans, [1, S, e]."""
        vectors: Tensor = self._network._endpoint_span_extractor(flat, ends.to(self._device).unsqueeze(0))
        return vectors

    def _score_spans(self, flat: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
        """Entity labels, 0 for none, and scores as a relation's end, both [S] on the CPU."""
        label = self._network._ner._ner_scorers[f"{self._model}__ner_labels"]
        mention = self._network._relation._mention_pruners[f"{self._model}__relation_labels"]._scorer
        labels, mentions = [], []
        for part in torch.split(ends, _SPANS):
            vectors = self._vectors(flat, part)
            labels.append(_best(label(vectors).squeeze(0)).cpu())
            mentions.append(mention(vectors).flatten().cpu())
        return torch.cat(labels), torch.cat(mentions)

    def _entity_pairs(self, labels: Tensor, mentions: Tensor, owners: Tensor, lengths: list[int]) -> Tensor:
        """Pairs of spans of one report, [P, 2], that are entities and among the report's best ends of relations."""
        share = self._network._relation._spans_per_word
        keep = torch.ceil(torch.tensor(lengths).float() * share).long().tolist()
        bounds = pairwise(accumulate(owners.bincount().tolist(), initial=0))
        pairs = []
        for count, (first, last) in zip(keep, bounds, strict=True):
            scores = mentions[first:last].view(1, -1, 1)
            best = scores.topk(min(count, last - first), 1).indices.flatten().sort().values + first
            kept = best[labels[best] > 0]
            pairs.append(torch.cartesian_prod(kept, kept))
        return torch.cat(pairs)

    def _score_pairs(self, flat: Tensor, ends: Tensor, mentions: Tensor, pairs: Tensor) -> Tensor:
        """Relation labels from the first of each pair to the second, 0 for none, [P] on the CPU."""
        relation, namespace = self._network._relation, f"{self._model}__relation_labels"
        forward, score = relation._relation_feedforwards[namespace], relation._relation_scorers[namespace]
        labels = [torch.empty(0, dtype=torch.long)]  # of no pairs
        for part in torch.split(pairs, _PAIRS) if len(pairs) else ():
            sources, targets = (self._vectors(flat, ends[side]).squeeze(0) for side in part.T)  # [p, e]
            scores = score(forward(torch.cat([sources, targets, sources * targets], 1)))  # [p, labels]
            labels.append(_best(scores + mentions[part].sum(1, keepdim=True).to(self._device)).cpu())
        return torch.cat(labels)

    def _name(
        self, batch: list[Report], spans: Spans, labels: Tensor, pairs: Tensor, relations: Tensor
    ) -> list[Entities]:
        """Entities and relations by name, in the order of the spans."""
        name, owners, words = self._network.vocab.get_token_from_index, spans.owners.tolist(), spans.words.tolist()
        found: list[Entities] = [{} for _ in batch]
        numbers: dict[int, str] = {}
        for span in labels.nonzero().flatten().tolist():
            (start, end), report = words[span], owners[span]
            numbers[span] = str(len(found[report]) + 1)
            found[report][numbers[span]] = {
                "tokens": " ".join(batch[report].words[start : end + 1]),
                "label": name(int(labels[span]), f"{self._model}__ner_labels"),
                "start_ix": start,
                "end_ix": end,
                "relations": [],
            }
        related = relations > 0
        for (source, target), label in zip(pairs[related].tolist(), relations[related].tolist(), strict=True):
            relation = [name(label - 1, f"{self._model}__relation_labels"), numbers[target]]
            found[owners[source]][numbers[source]]["relations"].append(relation)
        return found


class RadGraphReader:
    """The `radgraph` source in one worker."""

    def __init__(self, config: RadGraphConfig) -> None:
        torch.set_num_threads(1)  # a worker is a core; and the last digits do not depend on the cores there are
        self._model, self._rules = RadGraphModel(config), GraphRules(load_lexicon())

    def read(self, items: Sequence[Item]) -> tuple[list[tuple[str, Triplet]], dict[str, int]]:
        """The triplets of some reports by their annotations, and `GraphRules.counts` of these."""
        self._rules.counts.clear()
        annotations = self._model.annotate([item.text for item in items])
        found = [
            (item.study_id, triplet)
            for item, annotation in zip(items, annotations, strict=True)
            for triplet in self._rules.read(annotation, item.text)
        ]
        return found, {name: self._rules.counts[name] for name in COUNTS}


def batch_spans(lengths: Sequence[int], longest: int) -> Spans:
    """All spans of at most `longest` words of reports of so many words."""
    words = torch.tensor(lengths)
    last = torch.arange(max(lengths)).unsqueeze(1) + torch.arange(longest)  # [W, longest]
    owners, first, width = torch.nonzero(last < words.view(-1, 1, 1), as_tuple=True)
    return Spans(owners, torch.stack([first, first + width], 1))


def length_batches(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Rows of similar length, shortest first; those of length 0 are left out.

    Args:
        lengths: `Report.length` of each row.
        size: rows of a batch; fewer where they are longer than 512, or differ much in length.
    """
    batch: list[int] = []
    for row in sorted((row for row, length in enumerate(lengths) if length), key=lengths.__getitem__):
        full = len(batch) == size or (len(batch) + 1) * lengths[row] > size * _LENGTH
        if batch and (full or lengths[row] > _STRETCH * lengths[batch[0]]):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _best(scores: Tensor) -> Tensor:
    """The label of the highest score, counted from 1; 0, whose score is 0, where none is higher."""
    return torch.cat([scores.new_zeros(len(scores), 1), scores], 1).max(1).indices
