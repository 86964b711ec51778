# %% [markdown] id="welcome"
# # Mechanistic interpretability, an hour a day

# %% id="home"
from mechinterp_course import home

home()

# %% [markdown] id="how-it-works"
# ## How it works
# You take a language model apart and find out how it does what it does. Each lesson is one notebook to **read**, with predictions to
# make before you see what happens, and a lab to **do**, with exercises that answer you. A sitting is an hour at most.
#
# - **Is this page of today?** `mechinterp` brings it up to date. So does running the cell above: click it, then press Shift+Enter.
# - **Stuck?** `hint("name_of_the_exercise")` gives a nudge, then the idea, then an outline.
# - **An earlier part is missing?** `attention = borrow("attention")` takes the course's own function, so that you can go on.
# - **A prediction is a guess.** Nobody grades it. Guess before you look: you remember what surprised you. After ten of
#   them, `mechinterp calibration` says how often you are right when you are sure; in a notebook, `calibration()` draws it.
# - **Save** a notebook with Ctrl+S (Cmd+S on a Mac). What you pass, guess and ask for is written down in `progress.jsonl`, on this
#   computer only.
# - **Come back** by typing `mechinterp` in a terminal: it says what today's hour holds and opens where you stopped.
# - **Plan your hours** with `mechinterp plan --minutes 60 --days mon-fri`. A missed day is fine: the days ahead are laid anew from what
#   you really did, and `--ics hour.ics` writes them for your calendar.
