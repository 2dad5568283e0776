"""``python -m dicomnn`` is the ``dicomnn`` command."""

from dicomnn.cli import main

if __name__ == "__main__":
    main(prog_name="dicomnn")
