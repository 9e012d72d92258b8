package processor_test

func (s *simulation) checkExpired()   {}
func (s *simulation) checkPromises()  {}
func (s *simulation) checkForwarded() {}
