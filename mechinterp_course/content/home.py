# %% [markdown] id="welcome"
# # Mechanistic interpretability, an hour a day
# You take a language model apart and find out how it does what it does. Each lesson has two notebooks: one to **read**, with
# predictions to make before you see what happens, and one to **do**, with exercises that answer you. A sitting is an hour at most.
#
# Run the cell below (click it, then press Shift+Enter): it shows how far you are and what comes next. Run it again whenever you come back.

# %% id="home"
from mechinterp_course import home

home()

# %% [markdown] id="how-it-works"
# ## How it works
# - **Stuck?** `hint("name_of_the_exercise")` gives a nudge, then the idea, then an outline.
# - **An earlier part is missing?** `attention = borrow("attention")` takes the course's own function, so that you can go on.
# - **A prediction is a guess.** Nobody grades it. Guess before you look: you remember what surprised you.
# - **Save** a notebook with Ctrl+S (Cmd+S on a Mac). What you pass, guess and ask for is written down in `progress.jsonl`, on this
#   computer only.
# - **Come back** by typing `mechinterp` in a terminal: it opens where you stopped.
