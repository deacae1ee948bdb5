"""Long work with typed progress and a cancel flag. The same job runs on the command line and in
the window; only the runner differs."""

from app.jobs.progress import CancelToken, JobContext, Progress

__all__ = ["CancelToken", "JobContext", "Progress"]
