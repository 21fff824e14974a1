-- A row of up to 4 KB, which most events are, stays whole: two pieces of its body elsewhere, and their two entries in an index, cost a
-- fifth of what storing it costs. Two such rows fill a page.
ALTER TABLE events SET (toast_tuple_target = 4080);
