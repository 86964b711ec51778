"""`python -m mechinterp_course` is `mechinterp`."""

from .cli import main

if __name__ == "__main__":
    main()
