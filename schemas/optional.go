package schemas

import "encoding/json"

// Optional is a value that may be null. The zero Optional is null; Value means nothing unless Valid.
type Optional[T any] struct {
	Value T
	Valid bool
}

// Some is a value that is not null.
func Some[T any](v T) Optional[T] { return Optional[T]{Value: v, Valid: true} }

// MarshalJSON is null or the value's own form.
func (o Optional[T]) MarshalJSON() ([]byte, error) {
	if !o.Valid {
		return []byte("null"), nil
	}
	return json.Marshal(o.Value)
}

// UnmarshalJSON reads null or the value's own form.
func (o *Optional[T]) UnmarshalJSON(text []byte) error {
	*o = Optional[T]{}
	if string(text) == "null" {
		return nil
	}
	o.Valid = true
	return json.Unmarshal(text, &o.Value)
}

// List is an Avro array. A plain slice may be assigned to it. A nil List is an empty array.
type List[T any] []T

// MarshalJSON is an array, [] where it is nil.
func (l List[T]) MarshalJSON() ([]byte, error) {
	if l == nil {
		return []byte("[]"), nil
	}
	return json.Marshal([]T(l))
}
