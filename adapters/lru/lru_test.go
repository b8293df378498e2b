package lru

import "testing"

func weightOf(n int64) int64 { return n }

func TestWhatWasUsedLastStays(t *testing.T) {
	c := New[string](10, weightOf)
	c.Add("a", 4)
	c.Add("b", 4)
	if v, ok := c.Get("a"); !ok || v != 4 {
		t.Fatalf("a is %d, %v", v, ok)
	}
	c.Add("c", 4) // no room for three
	for key, want := range map[string]bool{"a": true, "b": false, "c": true} {
		if _, ok := c.Get(key); ok != want {
			t.Errorf("%s is there: %v", key, ok)
		}
	}
}

func TestTheHeaviestIsKeptAloneAndGoesFirst(t *testing.T) {
	c := New[string](10, weightOf)
	c.Add("a", 4)
	c.Add("huge", 100)
	if _, ok := c.Get("a"); ok {
		t.Error("a is still there")
	}
	if _, ok := c.Get("huge"); !ok {
		t.Error("what was added last is not there")
	}
	c.Add("b", 1)
	if _, ok := c.Get("huge"); ok {
		t.Error("what does not fit stays beside another")
	}
	if c.used != 1 || len(c.items) != 1 || c.order.Len() != 1 {
		t.Errorf("%d used by %d", c.used, len(c.items))
	}
}

func TestAKeyKeepsItsFirstValue(t *testing.T) {
	c := New[string](10, weightOf)
	c.Add("a", 1)
	c.Add("a", 2)
	if v, _ := c.Get("a"); v != 1 || c.used != 1 {
		t.Errorf("a is %d, %d used", v, c.used)
	}
}
