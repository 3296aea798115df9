"""Shares add up to the cent, follow the weights, and leave no doubt who takes a leftover cent."""

from __future__ import annotations

import random
import unittest
from fractions import Fraction

from splitfair import split_by_weight, split_equally
from splitfair.shares import SplitError


class EqualSplitTest(unittest.TestCase):
    def test_even_amounts_divide_evenly(self) -> None:
        self.assertEqual(
            split_equally(3000, ["Ann", "Bob", "Cleo"]), {"Ann": 1000, "Bob": 1000, "Cleo": 1000}
        )

    def test_people_listed_first_take_leftover_cents(self) -> None:
        self.assertEqual(split_equally(1001, ["Cleo", "Ann", "Bob"]), {"Cleo": 334, "Ann": 334, "Bob": 333})

    def test_fewer_cents_than_people(self) -> None:
        self.assertEqual(split_equally(1, ["Ann", "Bob"]), {"Ann": 1, "Bob": 0})

    def test_one_person_bears_all(self) -> None:
        self.assertEqual(split_equally(999, ["Ann"]), {"Ann": 999})


class WeightedSplitTest(unittest.TestCase):
    def test_shares_follow_the_weights(self) -> None:
        self.assertEqual(split_by_weight(900, {"Ann": 2, "Bob": 1}), {"Ann": 600, "Bob": 300})

    def test_whoever_was_cut_most_takes_the_leftover_cent(self) -> None:
        # Exact shares are 16.67, 33.33 and 50 cents: Ann is nearest to the next cent.
        self.assertEqual(
            split_by_weight(100, {"Ann": 1, "Bob": 2, "Cleo": 3}), {"Ann": 17, "Bob": 33, "Cleo": 50}
        )
        # Listed last, Ann still takes it: the remainder counts before the order.
        self.assertEqual(
            split_by_weight(100, {"Cleo": 3, "Bob": 2, "Ann": 1}), {"Cleo": 50, "Bob": 33, "Ann": 17}
        )

    def test_shares_add_up_and_stay_within_a_cent_of_exact(self) -> None:
        chance = random.Random(2)
        for _ in range(2000):
            cents = chance.randrange(1, 10 ** chance.randrange(1, 9))
            weights = {f"P{i}": chance.randrange(1, 20) for i in range(chance.randrange(1, 9))}
            shares = split_by_weight(cents, weights)
            self.assertEqual(sum(shares.values()), cents)
            for name, weight in weights.items():
                exact = Fraction(cents * weight, sum(weights.values()))
                self.assertLess(abs(shares[name] - exact), 1)

    def test_same_input_gives_same_shares(self) -> None:
        weights = {"Ann": 3, "Bob": 3, "Cleo": 1}
        self.assertEqual(split_by_weight(1000, weights), split_by_weight(1000, dict(weights)))


class RefusalTest(unittest.TestCase):
    def test_nobody_to_share(self) -> None:
        with self.assertRaisesRegex(SplitError, "somebody"):
            split_equally(100, [])

    def test_a_person_listed_twice(self) -> None:
        with self.assertRaisesRegex(SplitError, "Ann is listed twice"):
            split_equally(100, ["Ann", "Bob", "Ann"])

    def test_weights_below_one(self) -> None:
        for weight in (0, -1):
            with self.subTest(weight), self.assertRaisesRegex(SplitError, f"weight of Bob .* not {weight}"):
                split_by_weight(100, {"Ann": 1, "Bob": weight})


if __name__ == "__main__":
    unittest.main()
