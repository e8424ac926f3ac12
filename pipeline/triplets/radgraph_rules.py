"""RadGraph's entities and relations to triplets, by rules over the graph: one report's annotation in, its triplets out.

The graph says which words are observations and anatomies, what modifies what, what lies where, and what is present; the
lexicon says what the words are called. Nothing here runs RadGraph's model or reads its published file.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pipeline.triplets.lexicon import Lexicon
from pipeline.triplets.spacy_rules import Triplet


class GraphRules:
    """Reads annotations in RadGraph's published format by one lexicon.

    Attributes:
        counts: what was read and left out since the start, by name: `observations`, `observations_unknown` (their words
            mean no finding in the lexicon), `entities_outside` (not in a section of the report that is read, or with a
            token that cannot be aligned with it).
    """

    counts: Counter[str]

    def __init__(self, lexicon: Lexicon) -> None:
        raise NotImplementedError

    def read(self, annotation: Mapping[str, Any], report: str | None) -> list[Triplet]:
        """The triplets of one report, in the order of mention.

        Args:
            annotation: {"text": tokens joined by single spaces, "entities": {"1": {"tokens", "label", "start_ix",
                "end_ix", "relations": [["located_at", "2"]]}, ...}}; labels in either spelling (OBS-DP,
                "Observation::definitely present"), start_ix and end_ix the first and last token.
            report: the text that spans shall refer to, aligned with the tokens word by word, case and spaces aside. An
                entity with a word that has no counterpart there is left out, and counted in `entities_outside`: its
                position would be a guess. None: spans are characters of the annotation's own text.

        Raises:
            DatasetError: a part is missing, or a label, relation or id is unknown; the message names the entity, and
                the caller puts the file and the report's key before it.
        """
        raise NotImplementedError
