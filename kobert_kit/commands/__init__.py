"""The commands of ``kobert``, by what they are about; what one needs is imported when it runs."""
