"""A settlement evens everybody out, with as few transfers as a slow independent solver can find."""

from __future__ import annotations

import random
import time
import unittest
from collections.abc import Mapping, Sequence

from splitfair.settlement import EXACT_UP_TO, Transfer, settle


def fewest_transfers(debts: Sequence[int]) -> int:
    """Try every way to even out the first person against another; slow, but obviously right."""
    if not debts:
        return 0
    first, *others = debts
    if first == 0:
        return fewest_transfers(others)
    return 1 + min(
        fewest_transfers([*others[:i], other + first, *others[i + 1 :]])
        for i, other in enumerate(others)
        if other * first < 0
    )


def after(nets: Mapping[str, int], transfers: Sequence[Transfer]) -> dict[str, int]:
    result = dict(nets)
    for transfer in transfers:
        result[transfer.sender] += transfer.cents
        result[transfer.receiver] -= transfer.cents
    return result


def random_nets(chance: random.Random, people: int, largest: int) -> dict[str, int]:
    nets = [chance.randint(-largest, largest) for _ in range(people - 1)]
    return {f"P{i}": net for i, net in enumerate([*nets, -sum(nets)])}


class SettlementTest(unittest.TestCase):
    def assert_settles(self, nets: Mapping[str, int], transfers: Sequence[Transfer]) -> None:
        self.assertEqual(set(after(nets, transfers).values()) | {0}, {0})
        for transfer in transfers:
            self.assertGreater(transfer.cents, 0)
            self.assertNotEqual(transfer.sender, transfer.receiver)

    def test_debtors_pay_the_one_who_paid(self) -> None:
        transfers = settle({"Ann": 2000, "Bob": -1500, "Cleo": -500})
        self.assertEqual(transfers, [Transfer("Bob", "Ann", 1500), Transfer("Cleo", "Ann", 500)])

    def test_an_even_group_needs_nothing(self) -> None:
        self.assertEqual(settle({}), [])
        self.assertEqual(settle({"Ann": 0, "Bob": 0}), [])

    def test_people_who_cancel_out_settle_among_themselves(self) -> None:
        # Largest debt against largest claim takes four; {Ann, Dan, Eve} and {Bob, Cleo} apart take three.
        nets = {"Ann": 600, "Bob": 500, "Cleo": -500, "Dan": -400, "Eve": -200}
        transfers = settle(nets)
        self.assert_settles(nets, transfers)
        self.assertEqual(len(transfers), 3)
        self.assertIn(Transfer("Cleo", "Bob", 500), transfers)

    def test_no_shorter_settlement_exists_for_small_groups(self) -> None:
        chance = random.Random(4)
        for _ in range(150):
            nets = random_nets(chance, chance.randrange(2, 7), largest=6)
            transfers = settle(nets)
            self.assert_settles(nets, transfers)
            self.assertEqual(len(transfers), fewest_transfers(list(nets.values())), nets)

    def test_three_pairs_and_two_triples_are_found(self) -> None:
        nets = dict(zip("ABCDEFGHIJKL", [7, -7, 11, -11, 13, -13, 50, -20, -30, -9, 4, 5], strict=True))
        transfers = settle(nets)
        self.assert_settles(nets, transfers)
        self.assertEqual(len(transfers), 12 - 5)

    def test_large_groups_take_fewer_transfers_than_people(self) -> None:
        chance = random.Random(5)
        for people in (EXACT_UP_TO + 1, 40, 200):
            nets = random_nets(chance, people, largest=10_000)
            transfers = settle(nets)
            self.assert_settles(nets, transfers)
            self.assertLess(len(transfers), people)

    def test_exact_search_is_fast_enough_to_wait_for(self) -> None:
        nets = random_nets(random.Random(6), EXACT_UP_TO, largest=10_000)
        started = time.process_time()
        settle(nets)
        self.assertLess(time.process_time() - started, 2)

    def test_same_balances_give_same_transfers(self) -> None:
        nets = random_nets(random.Random(7), 8, largest=100)
        self.assertEqual(settle(nets), settle(dict(nets)))

    def test_balances_that_do_not_add_up_are_a_mistake_of_the_caller(self) -> None:
        with self.assertRaisesRegex(ValueError, "not to 1 cents"):
            settle({"Ann": 100, "Bob": -99})


if __name__ == "__main__":
    unittest.main()
