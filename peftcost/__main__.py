"""`python -m peftcost` is `peftcost`."""

from peftcost.cli.main import main

main()
