"""RadGraph over many reports: batches of similar length instead of the package's one report at a time, same output.

The package's own parts read words and score; what differs is which spans and pairs they are given. The spans of a batch
stand one after the other, without padding, and only pairs of entities are scored, as the package drops all others in
the end. How annotations become triplets is in `radgraph_rules`.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor

from pipeline.triplets.radgraph_archive import load_radgraph

Annotation = dict[str, Any]  # {"text": words joined by spaces, "entities": {"1": {"tokens": ..., ...}, ...}}
_Indexed = dict[str, list[Any]]  # of a report with W words: token_ids and masks of its pieces, [W] mask and offsets
_Found = tuple[list[list[Any]], list[list[Any]]]  # entities (first and last word, label), relations (two such, label)

_PIECES = 512  # word pieces a report may have for a full batch; longer ones come in smaller batches
_SPANS, _PAIRS = 1 << 14, 1 << 12  # scored at a time; each takes some 10 kB


class RadGraphModel:
    """A model of the `radgraph` package, loaded once, on a GPU where there is one.

    There BERT computes in half precision (bfloat16 where the GPU has it), so that scores which nearly tie may fall
    otherwise than in single precision. On a CPU all is single precision, and only ties in its last digits may.

    Args:
        model: one of `radgraph_archive.TYPES`.
        folder: where its files are, see `load_radgraph`; "" asks the hub.
        batch: reports at a time, at least 1.

    Raises:
        ParamsError: there is no such model.
        ModelError: a file is missing or damaged.
    """

    def __init__(self, model: str, folder: str = "", batch: int = 16) -> None:
        package = load_radgraph(model, folder)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._reader, self._network = package.reader, package.model.to(self._device)
        self._model, self._batch = model, batch

    def annotate(self, reports: Sequence[str]) -> list[Annotation]:
        """Annotate reports in the format of the published graphs.

        A report without words has no entities; the package reads the word "None" in its place.

        Args:
            reports: N texts of any length.

        Returns:
            N annotations in the order of the reports; they do not depend on the batches.
        """
        from radgraph.utils import get_entity

        words = [self._words(report) for report in reports]
        indexed = [self._index(each) for each in words]
        entities: list[dict[str, Any]] = [{} for _ in reports]
        for rows in length_batches([len(each["token_ids"]) for each in indexed], self._batch):
            for row, found in zip(rows, self._read([indexed[row] for row in rows]), strict=True):
                entities[row] = get_entity(*found, words[row])
        return [{"text": " ".join(text), "entities": each} for text, each in zip(words, entities, strict=True)]

    def _words(self, report: str) -> list[str]:
        from radgraph.utils import preprocess_reports

        words: list[str] = preprocess_reports([report], self._model)[0]["sentences"][0]
        return words

    def _index(self, words: list[str]) -> _Indexed:
        from radgraph.allennlp.data.tokenizers import Token

        tokens = [Token(self._reader._normalize_word(word)) for word in words]
        indexed: _Indexed = self._indexer.tokens_to_indices(tokens, self._network.vocab)
        return indexed

    @property
    def _indexer(self) -> Any:
        return self._reader._token_indexers["bert"]

    @torch.inference_mode()
    def _read(self, texts: list[_Indexed]) -> list[_Found]:
        """The entities and relations of a batch of B reports, each in the order of its spans."""
        states = self._embed(texts)  # [B, W, h]
        width = states.shape[1]
        counts = [len(text["mask"]) for text in texts]
        spans = [spans_of(count, self._reader._max_span_width) for count in counts]
        ends = torch.cat([each + width * report for report, each in enumerate(spans)])  # [S, 2], words of the batch
        flat = states.flatten(0, 1).unsqueeze(0)  # [1, B * W, h]
        labels, mentions = self._score_spans(flat, ends)
        pairs = self._entity_pairs(labels, mentions, counts, [len(each) for each in spans])
        return self._name(ends, labels, pairs, self._score_pairs(flat, ends, mentions, pairs), width, len(texts))

    def _embed(self, texts: list[_Indexed]) -> Tensor:
        """Vectors of words, [B, W, h]; those beyond a report's last word mean nothing."""
        lengths = {key: max(len(text[key]) for text in texts) for key in texts[0]}
        padded = [self._indexer.as_padded_tensor_dict(text, lengths) for text in texts]
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
        for part in ends.split(_SPANS):
            vectors = self._vectors(flat, part)
            labels.append(_best(label(vectors).squeeze(0)).cpu())
            mentions.append(mention(vectors).flatten().cpu())
        return torch.cat(labels), torch.cat(mentions)

    def _entity_pairs(self, labels: Tensor, mentions: Tensor, words: list[int], spans: list[int]) -> Tensor:
        """Pairs of spans of one report, [P, 2], that are entities and among the report's best ends of relations."""
        share = self._network._relation._spans_per_word
        keep = torch.ceil(torch.tensor(words).float() * share).long().tolist()
        pairs = []
        for count, (first, last) in zip(keep, pairwise(accumulate(spans, initial=0)), strict=True):
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
        for part in pairs.split(_PAIRS) if len(pairs) else ():
            sources, targets = (self._vectors(flat, ends[side]).squeeze(0) for side in part.T)  # [p, e]
            scores = score(forward(torch.cat([sources, targets, sources * targets], 1)))  # [p, labels]
            labels.append(_best(scores + mentions[part].sum(1, keepdim=True).to(self._device)).cpu())
        return torch.cat(labels)

    def _name(
        self, ends: Tensor, labels: Tensor, pairs: Tensor, relations: Tensor, width: int, reports: int
    ) -> list[_Found]:
        """Labels with their names, sorted into their reports; words count from each report's first."""
        vocabulary, places = self._network.vocab, (ends % width).tolist()
        owners = (ends[:, 0] // width).tolist()
        found: list[_Found] = [([], []) for _ in range(reports)]
        for span in labels.nonzero().flatten().tolist():
            name = vocabulary.get_token_from_index(int(labels[span]), f"{self._model}__ner_labels")
            found[owners[span]][0].append([*places[span], name])
        for pair in relations.nonzero().flatten().tolist():
            source, target = pairs[pair].tolist()
            name = vocabulary.get_token_from_index(int(relations[pair]) - 1, f"{self._model}__relation_labels")
            found[owners[source]][1].append([*places[source], *places[target], name])
        return found


def spans_of(words: int, longest: int) -> Tensor:
    """First and last words of all spans of at most `longest` words, by first word, then by last, int64 [S, 2]."""
    last = torch.arange(words).unsqueeze(1) + torch.arange(longest)  # [words, longest]
    first, width = torch.nonzero(last < words, as_tuple=True)
    return torch.stack([first, first + width], 1)


def length_batches(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Rows of similar length, shortest first; those of length 0 are left out.

    Args:
        lengths: word pieces of each row.
        size: rows of a batch; fewer where they are longer than 512 pieces.
    """
    batch: list[int] = []
    for row in sorted((row for row, length in enumerate(lengths) if length), key=lengths.__getitem__):
        if batch and (len(batch) == size or (len(batch) + 1) * lengths[row] > size * _PIECES):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _best(scores: Tensor) -> Tensor:
    """The label of the highest score, counted from 1; 0, whose score is 0, where none is higher."""
    return torch.cat([scores.new_zeros(len(scores), 1), scores], 1).max(1).indices
