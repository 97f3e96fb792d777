"""Part of the installation: parse the dbt project once, so that the first run need not.

``python -m orchestration.prepare``; a run that finds the project changed since parses it anew by itself.
"""

import os

from orchestration.assets.warehouse import dbt_project, point_dbt_at
from orchestration.settings import Settings


def main() -> None:
    """Parse for the home of the environment."""
    point_dbt_at(Settings())
    dbt_project()


if __name__ == "__main__":
    main()
    os._exit(0)  # the DuckDB binding would list what dbt leaves behind
