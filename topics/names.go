package topics

import (
	"errors"
	"fmt"
	"strings"
)

// DefaultNamespace is the namespace of an installation that names none.
const DefaultNamespace = "onhand"

// Names are the full names of the topics of a namespace.
type Names struct {
	Namespace string

	StockDeltas         string
	ReservationEvents   string
	LocationGraph       string
	AvailabilityUpdates string
	ReservationResults  string
	DeadLetters         string
}

// NamesOf returns the topics of a namespace, or what CheckNamespace says against it.
func NamesOf(namespace string) (Names, error) {
	if err := CheckNamespace(namespace); err != nil {
		return Names{}, err
	}
	return Names{
		Namespace:           namespace,
		StockDeltas:         namespace + ".stock-deltas",
		ReservationEvents:   namespace + ".reservation-events",
		LocationGraph:       namespace + ".location-graph",
		AvailabilityUpdates: namespace + ".availability-updates",
		ReservationResults:  namespace + ".reservation-results",
		DeadLetters:         namespace + ".dead-letters",
	}, nil
}

// ConsumerGroup is the consumer group of the processor.
func (n Names) ConsumerGroup() string { return n.Namespace + ".processor" }

// All lists the names in the order of the table.
func (n Names) All() []string {
	return []string{n.StockDeltas, n.ReservationEvents, n.LocationGraph, n.AvailabilityUpdates, n.ReservationResults, n.DeadLetters}
}

// namespaceBytesMax leaves room for the longest topic: a name in Kafka has at most 249 characters.
const namespaceBytesMax = 249 - len(".availability-updates")

// CheckNamespace says what is wrong with a namespace: 1–228 of A–Z a–z 0–9 . _ -, the first and the last a letter or a
// digit. Kafka holds two names for one that differ only in . and _.
func CheckNamespace(namespace string) error {
	if namespace == "" || len(namespace) > namespaceBytesMax {
		return fmt.Errorf("namespace %.40q has %d characters; it must have 1 to %d", namespace, len(namespace), namespaceBytesMax)
	}
	for _, c := range []byte(namespace) {
		if !isAlphanumeric(c) && !strings.ContainsRune("._-", rune(c)) {
			return fmt.Errorf("namespace %q has the character %q; only letters, digits, dots, _ and - stand in a topic's name", namespace, c)
		}
	}
	if !isAlphanumeric(namespace[0]) || !isAlphanumeric(namespace[len(namespace)-1]) {
		return errors.New("namespace " + namespace + " must begin and end with a letter or a digit")
	}
	return nil
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
