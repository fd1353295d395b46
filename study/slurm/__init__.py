"""A study as a Slurm job: the batch script, its submission, the driver in the job, and whether another job follows."""
