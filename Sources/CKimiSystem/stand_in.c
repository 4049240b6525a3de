int cks_stand_in(void); int cks_stand_in(void){return 0;}
