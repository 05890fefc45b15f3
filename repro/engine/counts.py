"""What a network answered under lesions, counted over images.

`Counts` is filled while images pass by; `Outcome` is what a question returns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from repro.engine.tally import TOP

Rows = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Rank, loss and tied of rows, see `tally.Tally`. A row is one image under one lesion. Ranks are
(n_rows,) and count in the column of their image; or (n_rows, n_columns), where an image has an
answer in each column, or none."""


@dataclass(frozen=True)
class Outcome:
    """What the network answered under each lesion. Lesions may have several axes.

    n_correct: int64 (*lesions, n_classes), correctly classified images of each class; of several
        yes-or-no answers the right ones of each; (*lesions, 0) where no answer is right or wrong.
    loss_sum: float64 (*lesions,), summed over the images: cross-entropy in nats, or what the task
        takes for it (`engine.tasks`).
    n_top5: int64 (*lesions,), images whose class is among the five best.
    n_tied: int64 (*lesions,), images whose two best logits differ by less than rounding explains
        (`engine.tally.TIES`); for these, and only these, another order of summation may give
        another class.
    n_images: how many images.
    n_answers: how many answers of each image are right or wrong.
    """

    n_correct: np.ndarray
    loss_sum: np.ndarray
    n_top5: np.ndarray
    n_tied: np.ndarray
    n_images: int
    n_answers: int = 1

    @property
    def accuracy(self) -> np.ndarray:
        """float64 (*lesions,), in [0, 1]: the share of right answers; NaN where none is right or
        wrong."""
        if not self.n_answers:
            return np.full(np.shape(self.loss_sum), np.nan)
        return self.n_correct.sum(axis=-1) / (self.n_images * self.n_answers)

    @property
    def top5_accuracy(self) -> np.ndarray:
        """float64 (*lesions,), in [0, 1]; 1 where there are five classes or fewer."""
        return self.n_top5 / self.n_images

    @property
    def loss(self) -> np.ndarray:
        """float64 (*lesions,), mean cross-entropy in nats."""
        return self.loss_sum / self.n_images

    def __add__(self, other: Outcome) -> Outcome:
        """The same lesions on the images of both."""
        return Outcome(
            self.n_correct + other.n_correct,
            self.loss_sum + other.loss_sum,
            self.n_top5 + other.n_top5,
            self.n_tied + other.n_tied,
            self.n_images + other.n_images,
            self.n_answers,
        )

    def merged(self, other: Outcome, mine: np.ndarray) -> Outcome:
        """The lesions of both on the same images. mine: bool (n,), which lesions are these."""

        def both(a: np.ndarray, b: np.ndarray) -> np.ndarray:
            joined = np.empty((len(mine), *a.shape[1:]), a.dtype)
            joined[mine], joined[~mine] = a, b
            return joined

        return Outcome(
            both(self.n_correct, other.n_correct),
            both(self.loss_sum, other.loss_sum),
            both(self.n_top5, other.n_top5),
            both(self.n_tied, other.n_tied),
            self.n_images,
            self.n_answers,
        )

    def reshape(self, *lesions: int) -> Outcome:
        """The same answers with other lesion axes."""
        return Outcome(
            self.n_correct.reshape(*lesions, self.n_correct.shape[-1]),
            self.loss_sum.reshape(lesions),
            self.n_top5.reshape(lesions),
            self.n_tied.reshape(lesions),
            self.n_images,
            self.n_answers,
        )


@dataclass(frozen=True)
class Counts:
    """Counts under lesions, over the images seen so far; the arrays are added to in place.

    n_correct: int64 (*lesions, n_columns). n_top, n_tied: int64 (*lesions,). loss_sum: float64
    (*lesions,), in nats.
    """

    n_correct: np.ndarray
    n_top: np.ndarray
    n_tied: np.ndarray
    loss_sum: np.ndarray

    @classmethod
    def zeros(cls, lesions: tuple[int, ...], n_columns: int) -> Counts:
        return cls(
            np.zeros((*lesions, n_columns), np.int64),
            np.zeros(lesions, np.int64),
            np.zeros(lesions, np.int64),
            np.zeros(lesions),
        )

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        return self.n_correct, self.n_top, self.n_tied, self.loss_sum

    def __getitem__(self, lesions: Any) -> Counts:
        return Counts(*(array[lesions] for array in self.arrays))

    def reshape(self, *lesions: int) -> Counts:
        """The same counts with other lesion axes; changes of one show in the other."""
        return Counts(
            self.n_correct.reshape(*lesions, self.n_correct.shape[-1]),
            *(array.reshape(lesions) for array in self.arrays[1:]),
        )

    def add(self, other: Counts, at: Any = ...) -> None:
        """Adds counts of other images to the counts of some lesions."""
        for mine, theirs in zip(self.arrays, other.arrays, strict=True):
            mine[at] += theirs

    # Lesions have one axis in the methods that follow.

    def add_to_all(self, columns: np.ndarray | None, rows: Rows) -> None:
        """Images (n_images,) that every lesion answers like this."""
        rank, loss, tied = rows
        _, column = _places(rank == 0, columns, np.arange(len(rank)))
        self.n_correct[...] += np.bincount(column, minlength=self.n_correct.shape[1])
        self.n_top[...] += np.count_nonzero(_near_top(rank))
        self.n_tied[...] += np.count_nonzero(tied)
        self.loss_sum[...] += loss.sum(dtype=np.float64)

    def add_rows(self, lesion: np.ndarray, columns: np.ndarray | None, rows: Rows) -> None:
        """Rows (n_rows,), each of one lesion and one image. columns: (n_rows,), or None."""
        rank, loss, tied = rows
        n_lesions = len(self.loss_sum)
        row, column = _places(rank == 0, columns, np.arange(len(rank)))
        np.add.at(self.n_correct, (lesion[row], column), 1)
        self.n_top[...] += np.bincount(lesion[_near_top(rank)], minlength=n_lesions)
        self.n_tied[...] += np.bincount(lesion[tied], minlength=n_lesions)
        self.loss_sum[...] += np.bincount(lesion, loss, minlength=n_lesions)

    def replace(
        self,
        lesion: np.ndarray,
        image: np.ndarray,
        columns: np.ndarray | None,
        intact: Rows,
        rows: Rows,
    ) -> None:
        """Rows that answer otherwise than the intact network did in `add_to_all`.

        Args:
            columns: of each image, or None. intact: what was added to all.
        """
        if not len(lesion):
            return
        rank, loss, tied = rows
        intact_rank, intact_loss, intact_tied = (part[image] for part in intact)
        first, last = lesion.min(), lesion.max() + 1
        change = loss.astype(np.float64) - intact_loss
        self.loss_sum[first:last] += np.bincount(lesion - first, change, minlength=last - first)
        for total, now, before in (
            (self.n_top, _near_top(rank), _near_top(intact_rank)),
            (self.n_tied, tied, intact_tied),
        ):
            differs = np.flatnonzero(now != before)
            np.add.at(total, lesion[differs], np.where(now[differs], 1, -1))
        hit = rank == 0
        row, column = _places(hit != (intact_rank == 0), columns, image)
        now_right = hit[row] if hit.ndim == 1 else hit[row, column]
        np.add.at(self.n_correct, (lesion[row], column), np.where(now_right, 1, -1))

    def outcome(self, n_images: int, n_answers: int) -> Outcome:
        """What was counted.

        Raises:
            ValueError: a loss that is not finite.
        """
        if not np.all(np.isfinite(self.loss_sum)):
            n = int(np.count_nonzero(~np.isfinite(self.loss_sum)))
            raise ValueError(
                f"the loss under {n} of {self.loss_sum.size} lesions is not finite (NaN or "
                "infinity): activations or scores overflow on some of these images; scale the "
                "images as in the model's training, or leave out those on which model.predict is "
                "not finite"
            )
        return Outcome(self.n_correct, self.loss_sum, self.n_top, self.n_tied, n_images, n_answers)


def _places(
    which: np.ndarray, columns: np.ndarray | None, image: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where something holds: the rows, and the columns of n_correct that they count in.

    Args:
        which: bool (n_rows,) or (n_rows, n_columns). columns: of each image. image: of each row.
    """
    if columns is not None:
        row = np.flatnonzero(which)
        return row, columns[image[row]]
    row, column = np.nonzero(which)
    return row, column


def _near_top(rank: np.ndarray) -> np.ndarray:
    """bool (n_rows,), whether the true class is among the best few; True where there are none."""
    return rank < TOP if rank.ndim == 1 else np.ones(len(rank), bool)
