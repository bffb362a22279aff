"""Operations on run-length encoded masks, and class colours. No torch, no storage."""
