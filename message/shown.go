package message

import "unicode/utf8"

// ShownHeader is a header as JSON shows it: {"key": "a", "value": "1"}.
type ShownHeader struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Base64 []byte `json:"value_base64,omitempty"` // instead of Value, which is no UTF-8
}

// ShownHeaders are encoded headers as JSON shows them, in memory of their own; nil: none.
func ShownHeaders(encoded []byte) (list []ShownHeader) {
	for key, value := range Headers(encoded) {
		h := ShownHeader{Key: string(key)}
		if utf8.Valid(value) {
			h.Value = string(value)
		} else {
			h.Base64 = append([]byte(nil), value...)
		}
		list = append(list, h)
	}
	return list
}

// Append appends the header, encoded.
func (h *ShownHeader) Append(dst []byte) []byte {
	if len(h.Base64) > 0 {
		return AppendHeader(dst, h.Key, h.Base64)
	}
	return AppendHeader(dst, h.Key, h.Value)
}

// ShownDescription is what consumers are told of the message as headers, as JSON shows it.
func (v *View) ShownDescription() []ShownHeader { return ShownHeaders(v.AppendDescription(nil)) }
