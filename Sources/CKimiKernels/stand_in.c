int ck_stand_in(void); int ck_stand_in(void){return 0;}
