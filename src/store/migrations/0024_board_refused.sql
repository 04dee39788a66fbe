-- Which status was refused last and was told of: said again, it is no news.
ALTER TABLE board ADD COLUMN refused TEXT;
