"""Candles as material: rows of coins, folds by date, features chosen and scaled."""
