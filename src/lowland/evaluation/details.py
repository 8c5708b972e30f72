"""What lies behind an accuracy: every class, which is taken for which, how sure the network is, and its worst mistakes.

Tensor names: N images, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from lowland.evaluation.reliability import Reliability

if TYPE_CHECKING:
    from torch import Tensor

MOST_PICTURES = 12
"""Mistakes of each kind that are kept with their picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mistake:
    """One image that a network gets wrong.

    Attributes:
        image: Its place in the test split.
        label: Its class.
        named: The class that the network says.
        probability: Of that, 0 to 1.
        label_probability: Of its own class.
        picture: The image as a `data:` URI; empty where it is not kept.
    """

    image: int
    label: int
    named: int
    probability: float
    label_probability: float
    picture: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Details:
    """What one network makes of every test image.

    Attributes:
        n: Test images of each class.
        right: Of these, those named right.
        confused: (class, class that is said, images), without those named right, most first.
        reliability: Accuracy by confidence.
        worst: The mistakes that cost most: those with the least probability of the image's own class.
        surest: The mistakes with the greatest probability of the class said.
    """

    n: tuple[int, ...]
    right: tuple[int, ...]
    confused: tuple[tuple[int, int, int], ...]
    reliability: Reliability
    worst: tuple[Mistake, ...] = ()
    surest: tuple[Mistake, ...] = ()

    @classmethod
    def of(cls, logits_NK: Tensor, labels_N: Tensor) -> Self:
        """From logits and labels; among equal logits the lower class is said, among equal mistakes the earlier first.

        Returns:
            The details, of no picture.

        Example:
            >>> import torch
            >>> logits_NK = torch.tensor([[2.0, 0.0], [0.0, 2.0], [1.0, 0.0]])
            >>> found = Details.of(logits_NK, torch.tensor([0, 0, 0]))
            >>> found.n, found.right, found.confused, [each.image for each in found.worst]
            ((3, 0), (2, 0), ((0, 1, 1),), [1])
        """
        import torch  # those who read what was found need none of it

        classes = logits_NK.shape[1]
        log_NK = logits_NK.double().log_softmax(dim=1)
        top_N, named_N = log_NK.max(dim=1)
        own_N = log_NK.gather(1, labels_N[:, None]).squeeze(1)
        counts_KK = torch.bincount(labels_N * classes + named_N, minlength=classes**2).view(classes, classes)
        right_K = counts_KK.diagonal()
        wrong_KK = counts_KK - torch.diag(right_K)
        pairs = [(int(a), int(b), int(wrong_KK[a, b])) for a, b in wrong_KK.nonzero().tolist()]
        wrong_N = (named_N != labels_N).nonzero().squeeze(1)

        def first(cost_N: Tensor) -> tuple[Mistake, ...]:
            order = cost_N[wrong_N].argsort(stable=True)[:MOST_PICTURES]
            return tuple(
                Mistake(
                    image=place,
                    label=int(labels_N[place]),
                    named=int(named_N[place]),
                    probability=round(float(top_N[place].exp()), 6),
                    label_probability=round(float(own_N[place].exp()), 6),
                )
                for place in wrong_N[order].tolist()
            )

        return cls(
            n=tuple(counts_KK.sum(dim=1).tolist()),
            right=tuple(right_K.tolist()),
            confused=tuple(sorted(pairs, key=lambda pair: (-pair[2], pair))),
            reliability=Reliability.of(logits_NK, labels_N),
            worst=first(own_N),
            surest=first(-top_N),
        )

    def pictured(self, pictures: Callable[[Sequence[int]], Sequence[str]]) -> Self:
        """The same with the pictures of its mistakes.

        Args:
            pictures: Places in the test split → a `data:` URI of each.

        Returns:
            The details.
        """
        places = sorted({each.image for each in (*self.worst, *self.surest)})
        shown = dict(zip(places, pictures(places), strict=True)) if places else {}
        worst, surest = (
            tuple(replace(each, picture=shown[each.image]) for each in kind) for kind in (self.worst, self.surest)
        )
        return replace(self, worst=worst, surest=surest)

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON-like values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """From `to_json`, also after a round trip through JSON."""
        return cls(
            n=tuple(values["n"]),
            right=tuple(values["right"]),
            confused=tuple((a, b, count) for a, b, count in values["confused"]),
            reliability=Reliability.from_json(values["reliability"]),
            worst=tuple(Mistake(**each) for each in values["worst"]),
            surest=tuple(Mistake(**each) for each in values["surest"]),
        )
