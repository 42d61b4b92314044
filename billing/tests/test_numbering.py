"""Serial numbers follow each other without a gap, however many issue at once and however many fail."""

import threading
from datetime import date

import pytest
from django.db import connection, transaction

from billing.invoicing.models import NumberSeries, SupplierRegistration
from billing.invoicing.services.numbers import next_number
from billing.tests.invoicing import make_supplier

MAY = date(2026, 5, 4)


def take(supplier: SupplierRegistration, kind: str = "invoice", on: date = MAY) -> str:
    with transaction.atomic():
        return next_number(supplier=supplier, kind=kind, on=on)[0]


@pytest.mark.django_db(transaction=True)
def test_eight_at_once_and_every_third_fails() -> None:
    supplier, found, lock = make_supplier(), [], threading.Lock()

    class TurnedBack(Exception):
        pass

    def work(worker: int) -> None:
        try:
            for turn in range(12):
                try:
                    with transaction.atomic():
                        number = next_number(supplier=supplier, kind="invoice", on=MAY)[0]
                        if (worker + turn) % 3 == 0:
                            raise TurnedBack
                except TurnedBack:
                    continue
                with lock:
                    found.append(number)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [f"FC/26-27/{number:07}" for number in range(1, 65)]  # 8 x 12, a third turned back


def test_each_kind_year_and_gstin_counts_by_itself(db: None) -> None:
    one, other = make_supplier("29"), make_supplier("27", is_default=False)
    taken = [
        take(one), take(one), take(other), take(one, "credit_note"), take(one, on=date(2027, 3, 31)),
        take(one, on=date(2027, 4, 1)),
    ]  # fmt: skip
    assert taken == [
        "FC/26-27/0000001", "FC/26-27/0000002", "FC/26-27/0000001", "CN/26-27/0000001", "FC/26-27/0000003",
        "FC/27-28/0000001",
    ]  # fmt: skip


def test_a_later_number_never_has_an_earlier_date(db: None) -> None:
    supplier = make_supplier()
    take(supplier, on=date(2026, 6, 30))
    with transaction.atomic():
        number, year, day = next_number(supplier=supplier, kind="invoice", on=date(2026, 6, 1))
    assert (number, year, day) == ("FC/26-27/0000002", "2026-27", date(2026, 6, 30))


def test_a_number_that_was_rolled_back_is_given_again(db: None) -> None:
    supplier = make_supplier()
    with pytest.raises(RuntimeError), transaction.atomic():
        next_number(supplier=supplier, kind="invoice", on=MAY)
        raise RuntimeError
    assert take(supplier) == "FC/26-27/0000001"
    assert NumberSeries.objects.get().last_number == 1
