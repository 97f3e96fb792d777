"""Contract months: month 1 is the calendar month that holds the service commencement date (READINGS, 2)."""

from datetime import date


def contract_month(commencement: date, day: date) -> int:
    """Contract month of a day; 1 in the month of commencement, 0 and below before it."""
    return (day.year - commencement.year) * 12 + day.month - commencement.month + 1
