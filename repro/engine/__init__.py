"""What is asked of a network: the task that it was trained for, and whether it is the user's.

Here live the questions; the passes that answer them stand in `repro.ablation` and its modules. No
reading of files, no training, no pages. Open `tasks` first.
"""
